import test from 'ava'
import { openDjangoSite } from '../../src/site/django-site.ts'
import type { WatchEnd } from '../../src/site/session-watch.ts'
import { connect } from '../engines/db-under-test.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'

/** Each Django once, on one of the databases in turn; half of the sites store wall clock times. */
const meetings = djangoVersions.map((version, at) => ({
  version,
  database: testDatabases[at % testDatabases.length] ?? 'sqlite',
  useTz: at % 2 === 0,
}))

/** A session for each way in which it can end, and two that go on; prints their keys. No password is hashed: that is slow. */
const BEGIN = `
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
User = get_user_model()
engine = import_module(settings.SESSION_ENGINE)
keys = {}
for name in NAMES:
    request = HttpRequest()
    request.session = engine.SessionStore()
    if name != 'anonymous':
        user = User.objects.create(username=name, password='pbkdf2_sha256$1$salt$of ' + name)
        login(request, user, backend='django.contrib.auth.backends.ModelBackend')
    request.session['visits'] = 1
    request.session.save()
    keys[name] = request.session.session_key
print(json.dumps(keys))
`

const STEPS: Readonly<Record<string, { readonly step: string; readonly reason: WatchEnd | null }>> = {
  loggedOut: { step: 'logout(request)', reason: 'logout' },
  cleared: { step: 'request.session.clear(); request.session.save()', reason: 'logout' },
  expired: { step: 'request.session.set_expiry(-5); request.session.save()', reason: 'expired' },
  deactivated: { step: 'user.is_active = False; user.save()', reason: 'deactivated' },
  deleted: { step: 'user.delete()', reason: 'deleted' },
  reset: { step: "user.password += ', another'; user.save()", reason: 'password' },
  changed: {
    // In one transaction, so that no read sees a half of it.
    step: "with transaction.atomic(): user.password += ', another'; user.save(); request.user = user; update_session_auth_hash(request, user)",
    reason: 'logout',
  },
  another: { step: "login(request, User.objects.get(username='saved'), backend=BACKEND)", reason: 'logout' },
  replaced: {
    step: "request.session.update({'_auth_user_id': str(other.pk), '_auth_user_hash': other.get_session_auth_hash()}); request.session.save()",
    reason: 'login',
  },
  anonymous: {
    step: "login(request, User.objects.get(username='saved'), backend=BACKEND)",
    reason: 'logout',
  },
  saved: { step: "request.session['visits'] = 2; request.session.save()", reason: null },
  renamed: { step: "user.first_name = 'Ada'; user.save()", reason: null },
}

/** Ends them. */
const end = (steps: readonly (readonly [string, string])[]) => `
import json, sys
from importlib import import_module
from django.conf import settings
from django.contrib.auth import get_user_model, login, logout, update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest
User = get_user_model()
BACKEND = 'django.contrib.auth.backends.ModelBackend'
engine = import_module(settings.SESSION_ENGINE)
keys = json.load(sys.stdin)
other = User.objects.get(username='saved')
request = HttpRequest()
${steps
  .map(
    ([name, step]) => `
request.session = engine.SessionStore(keys['${name}'])
user = User.objects.filter(username='${name}').first()
${step}`,
  )
  .join('\n')}
`

const othersEnd = (ends: object) => () => `the others end, beside ${JSON.stringify(ends)}`

interface Setup {
  readonly version: string
  readonly databaseUrl: string
  readonly settings?: Readonly<Record<string, string>>
}

async function beginSessions(
  { version, databaseUrl, settings = {} }: Setup,
  names: readonly string[],
): Promise<Record<string, string>> {
  const env = { ...serviceEnvironment({ version, databaseUrl, settings }), SECRET_KEY: secretKey }
  const script = BEGIN.replace('NAMES', JSON.stringify(names))
  return JSON.parse(await djangoShell(version, { env, script }))
}

async function endSessions(
  { version, databaseUrl, settings = {} }: Setup,
  keys: Readonly<Record<string, string>>,
  steps: readonly (readonly [string, string])[],
): Promise<void> {
  const env = { ...serviceEnvironment({ version, databaseUrl, settings }), SECRET_KEY: secretKey }
  await djangoShell(version, { env, script: end(steps), input: JSON.stringify(keys) })
}

for (const { version, database, useTz } of meetings) {
  test(`connections hear how Django ${version} ends their sessions, on ${database}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
    const timeZone = useTz ? 'UTC' : 'Asia/Seoul'
    const setup = {
      version,
      databaseUrl,
      settings: { USE_TZ: String(useTz), TIME_ZONE: timeZone, SESSION_COOKIE_AGE: '100000' },
    }
    const keys = await beginSessions(setup, Object.keys(STEPS))
    const db = connect(databaseUrl)
    t.teardown(() => db.destroy())
    const site = openDjangoSite({
      ...{ db, secretKeys: [secretKey] as const, djangoVersion: version, useTz, timeZone },
      watch: { interval: 50 },
    })
    t.teardown(() => site.close())
    const ends: Record<string, WatchEnd[]> = {}
    for (const [name, key] of Object.entries(keys)) {
      const request = { headers: { cookie: `sessionid=${key}` } }
      const { user } = await site.authenticate(request)
      t.is(user.isAuthenticated, name !== 'anonymous')
      const heard: WatchEnd[] = []
      ends[name] = heard
      site.watch(request, (reason) => heard.push(reason))
    }
    await endSessions(
      setup,
      keys,
      Object.entries(STEPS).map(([name, { step }]) => [name, step] as const),
    )
    const expected = Object.entries(STEPS).map(([name, { reason }]) => [
      name,
      reason === null ? [] : [reason],
    ])
    await until(othersEnd(ends), () => Object.values(ends).flat().length >= Object.keys(STEPS).length - 2)
    t.deepEqual(ends, Object.fromEntries(expected))
    // Those that go on are still watched.
    await endSessions(setup, keys, [['saved', 'logout(request)']])
    await until('it ends', () => Object.values(ends).flat().length === Object.keys(STEPS).length - 1)
    t.deepEqual([ends.saved, ends.renamed], [['logout'], []])
  })
}

const newest = djangoVersions.at(-1) ?? ''

for (const engine of ['file', 'cache', 'cached_db'] as const) {
  test(`connections hear of a logout of Django ${newest} with the engine ${engine}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const backend = 'django.core.cache.backends.redis.RedisCache'
    const filePath = temporaryFolder(t)
    const path = `django.contrib.sessions.backends.${engine}`
    const setup = {
      version: newest,
      databaseUrl,
      settings: {
        SESSION_ENGINE: path,
        SESSION_FILE_PATH: filePath,
        CACHES: JSON.stringify({ default: { BACKEND: backend, LOCATION: redis.location } }),
      },
    }
    const names = ['loggedOut', 'deactivated', 'reset', 'saved']
    const keys = await beginSessions(setup, names)
    const db = connect(databaseUrl)
    t.teardown(() => db.destroy())
    const site = openDjangoSite({
      ...{ db, secretKeys: [secretKey] as const, djangoVersion: newest, engine: path, filePath },
      ...(engine !== 'file' && {
        cache: { backend, location: [redis.location], keyPrefix: '', version: 1, options: {} },
      }),
      watch: { interval: 50 },
    })
    t.teardown(() => site.close())
    const ends: Record<string, WatchEnd[]> = {}
    for (const [name, key] of Object.entries(keys)) {
      const request = { headers: { cookie: `sessionid=${key}` } }
      await site.authenticate(request) // Otherwise `watch` may read the visitor when Django has ended the session.
      const heard: WatchEnd[] = []
      ends[name] = heard
      site.watch(request, (reason) => heard.push(reason))
    }
    await endSessions(
      setup,
      keys,
      names.map((name) => [name, STEPS[name]?.step ?? ''] as const),
    )
    await until(othersEnd(ends), () => Object.values(ends).flat().length >= 3)
    t.deepEqual(ends, { loggedOut: ['logout'], deactivated: ['deactivated'], reset: ['password'], saved: [] })
  })
}
