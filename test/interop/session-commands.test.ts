import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { startRedis } from '../support/redis.ts'
import { runCommand, temporaryFolder } from '../support/service.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'

/** Each Django once, on one of the databases in turn. */
const meetings = djangoVersions.map((version, at) => ({
  version,
  database: testDatabases[at % testDatabases.length] ?? 'sqlite',
  // Half of the sites store wall clock times.
  settings: at % 2 === 0 ? {} : { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul' },
}))

/** Sessions around the moment of expiry: of two users and of nobody. */
const MAKE = `
from datetime import timedelta
from importlib import import_module
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
from django.utils import timezone
engine = import_module(settings.SESSION_ENGINE)
def make(user=None, age=None):
    request = HttpRequest()
    request.session = engine.SessionStore()
    if user is not None:
        login(request, user, backend='django.contrib.auth.backends.ModelBackend')
    request.session['visits'] = 1
    if age is not None:
        request.session.set_expiry(age)
    request.session.save()
    return request.session.session_key
`

const USERS = `
User = get_user_model()
ada, bob = [User.objects.create_user(name, password='of ' + name) for name in ('ada', 'bob')]
for user in (ada, ada, ada, bob, None):
    make(user)
make(ada, -60)
`

for (const { version, database, settings } of meetings) {
  test(`clearsessions deletes the rows that Django ${version} deletes, on ${database}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { databaseUrl, shell, ours } = await openSite(t, { version, database, settings })
    await shell(
      `${MAKE}\nfor age in (-1000000, -40000, -3600, -60, -1, 60, 3600, 40000, 1000000): make(None, age)`,
    )
    await runSql(databaseUrl, 'CREATE TABLE as_before AS SELECT * FROM django_session')
    const keys = async () =>
      (await runSql(databaseUrl, 'SELECT session_key FROM django_session ORDER BY session_key')).map(
        ({ session_key }) => session_key,
      )
    const { status, stdout } = await ours(['clearsessions', '--json'])
    t.is(status, 0)
    t.is(JSON.parse(stdout).deleted, 5)
    const left = await keys()
    await runSql(databaseUrl, 'DELETE FROM django_session')
    await runSql(databaseUrl, 'INSERT INTO django_session SELECT * FROM as_before')
    await shell("from django.core.management import call_command; call_command('clearsessions')")
    t.deepEqual(await keys(), left)
    t.is(left.length, 4)
  })

  test(`sessions that Django ${version} logs in are listed and logged out, on ${database}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { shell, ours } = await openSite(t, { version, database, settings })
    await shell(`${MAKE}${USERS}`)
    const listed = JSON.parse((await ours(['sessions', '--user', 'ada', '--json'])).stdout)
    t.is(listed.sessions.length, 3)
    t.deepEqual(listed.unreadable, {})
    for (const { changed, expires } of listed.sessions) {
      t.is(changed === null, ['2.2', '3.0'].includes(version), 'only the signed format has a time stamp')
      const age = Date.parse(expires) - Date.now()
      t.true(Math.abs(age - 1_209_600_000) < 100_000, expires)
    }
    t.is(JSON.parse((await ours(['logout', '--user', 'ada', '--yes', '--json'])).stdout).deleted, 3)
    const left = await shell(`
from django.contrib.sessions.models import Session
from django.utils import timezone
live = Session.objects.filter(expire_date__gt=timezone.now())
print(sorted(str(session.get_decoded().get('_auth_user_id')) for session in live))`)
    t.is(left.trim(), "['2', 'None']")
  })
}

for (const version of djangoVersions.filter((_, at) => at % (djangoVersions.length - 1) === 0)) {
  test(`clearsessions deletes the files that Django ${version} deletes`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const folder = temporaryFolder(t)
    const [first, second] = [join(folder, 'first'), join(folder, 'second')]
    mkdirSync(first)
    const engine = { SESSION_ENGINE: 'django.contrib.sessions.backends.file' }
    const { databaseUrl, shell } = await openSite(t, {
      version,
      database: 'sqlite',
      settings: { ...engine, SESSION_FILE_PATH: first },
    })
    await shell(`
${MAKE}
import glob, os, time
make(None); make(None, 3600); make(None, -60)
old = make(None)
path = glob.glob(settings.SESSION_FILE_PATH + '/*' + old)[0]
os.utime(path, (time.time() - 2000000,) * 2)
open(settings.SESSION_FILE_PATH + '/sessionidunreadable0', 'w').write('not of this key')`)
    cpSync(first, second, { recursive: true, preserveTimestamps: true })
    const env = serviceEnvironment({
      version,
      databaseUrl,
      settings: { ...engine, SESSION_FILE_PATH: second },
    })
    const { status, stdout } = await runCommand(t, ['clearsessions', '--json'], { env })
    t.is(status, 0)
    await shell("from django.core.management import call_command; call_command('clearsessions')")
    t.deepEqual(new Set(readdirSync(second)), new Set(readdirSync(first)))
    t.is(JSON.parse(stdout).deleted, 2)
  })
}

for (const version of djangoVersions.filter((one) => Number.parseFloat(one) >= 4)) {
  test(`a logout ends sessions that Django ${version} has in its cache, too`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const settings = {
      SESSION_ENGINE: 'django.contrib.sessions.backends.cached_db',
      CACHES: JSON.stringify({
        default: { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: redis.location },
      }),
    }
    const { shell, ours } = await openSite(t, { version, database: 'sqlite', settings })
    await shell(`${MAKE}${USERS}`)
    t.regex(await redis.command('KEYS', '*'), /cached_db/)
    const { stdout, status } = await ours(['logout', '--user', 'ada', '--yes', '--json'])
    t.is(status, 0)
    t.like(JSON.parse(stdout), { deleted: 3, copiesLeft: 0 })
    const live = await shell(
      `
from django.core.cache import cache
from django.conf import settings
from importlib import import_module
import json, sys
store = import_module(settings.SESSION_ENGINE).SessionStore
keys = [key.split('cached_db', 1)[1] for key in json.load(sys.stdin)]
print(sorted(str(store(key).load().get('_auth_user_id')) for key in keys))`,
      JSON.stringify((await redis.command('KEYS', '*cached_db*')).trim().split('\n')),
    )
    t.is(live.trim(), "['2', 'None']")
  })
}

async function openSite(
  t: ExecutionContext,
  {
    version,
    database,
    settings,
  }: { version: string; database: TestDatabaseName; settings: Readonly<Record<string, string>> },
) {
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
  await runSql(databaseUrl, 'DELETE FROM django_session')
  const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, ...settings }
  const service = { ...serviceEnvironment({ version, databaseUrl, settings }), DATABASE_TIMEOUT: '30' }
  return {
    databaseUrl,
    shell: (script: string, input = '') => djangoShell(version, { env, script, input }),
    ours: (args: readonly string[]) => runCommand(t, args, { env: service }),
  }
}
