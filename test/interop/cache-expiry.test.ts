import test, { type ExecutionContext } from 'ava'
import { PythonDatetime } from '../../src/django/pickle/datetimes.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import type { Session } from '../../src/session/session.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { secretKey, startKoa } from './sites.ts'
import { createVisitor } from './visitor.ts'

const file = fileScope(test)
const SESSION_ENGINE = 'django.contrib.sessions.backends.cache'
const COOKIE_AGE = 5000

/** 02:04:05.678 UTC. */
const INSTANT = new Date('2035-01-02T02:04:05.678Z')
const THREE_DAYS = 3 * 86_400

let redis: CacheServer
let memcached: CacheServer
test.before(async () => {
  redis = await startRedis()
  file.teardown(() => redis.stop())
  memcached = await startMemcached()
  file.teardown(() => memcached.stop())
})

/** Seconds until each expiry that Django sets in CREATE, and that ours sets below; null for INSTANT. */
const AGES: Readonly<Record<string, number | null>> = {
  ...{ seconds: 300, close: COOKIE_AGE, none: COOKIE_AGE },
  ...{ delta: THREE_DAYS, date: null, local: null, fixed: null, zone: null },
}

for (const version of djangoVersions) {
  for (const [useTz, timeZone] of [
    [true, 'Asia/Seoul'],
    [false, 'Europe/Berlin'],
  ] as const) {
    test.serial(
      `with sessions in a cache, Django ${version} and ours agree when one ends, USE_TZ=${useTz}`,
      async (t) => {
        t.timeout(110_000)
        const site = await openSite(t, { version, useTz, timeZone })
        const theirs = await site.python<Keys>(CREATE, { instant: INSTANT.toISOString() })
        const seen: Record<string, Record<string, Seen>> = {}
        const ours: Keys = {}
        for (const alias of site.aliases) {
          const visit = await site.open(alias)
          seen[alias] = {}
          for (const [name, key] of Object.entries(theirs[alias] ?? {})) {
            const label = `${alias} ${name}`
            const kept = await visit(label, key, (session) => {
              seen[alias] = { ...seen[alias], [name]: look(session) }
            })
            t.is(kept, key, label)
          }
          ours[alias] = {
            seconds: await visit(`${alias} seconds`, null, (session) => session.setExpiry(300)),
            close: await visit(`${alias} close`, null, (session) => session.setExpiry(0)),
            date: await visit(`${alias} date`, null, (session) => session.setExpiry(INSTANT)),
            delta: await visit(`${alias} delta`, null, (session) =>
              session.setExpiry({ seconds: THREE_DAYS }),
            ),
            // Expiries that Django has set, and that ours sets again.
            again: await visit(`${alias} again`, theirs[alias]?.again ?? null, (session) =>
              session.setExpiry(INSTANT),
            ),
          }
        }
        const names = useTz ? Object.keys(AGES) : ['seconds', 'close', 'none', 'delta', 'date']
        for (const alias of site.aliases) {
          for (const name of names) {
            const found = seen[alias]?.[name]
            const label = `${alias} ${name}`
            isAge(t, found?.age, AGES[name], label)
            t.is(found?.atClose, name === 'close', label)
            if (AGES[name] === null) t.deepEqual(found?.date, INSTANT, label)
          }
          const isDatetime = seen[alias]?.date?.isDatetime
          t.is(isDatetime, !versionProfile(version).storesIsoExpiry, `${alias}: what Django stores`)
        }
        const read = await site.python<Read>(READ, { theirs, ours })
        for (const [who, caches] of Object.entries<Caches>({ ...read })) {
          for (const [alias, sessions] of Object.entries(caches)) {
            for (const [name, found] of Object.entries(sessions)) {
              const label = `${who} ${alias} ${name}`
              const age = AGES[name === 'again' ? 'date' : name]
              t.is(found.ours, 1, label)
              isAge(t, found.age, age, label)
              if (age === null) t.is(Math.round(found.date * 1000), INSTANT.getTime(), label)
              t.is(found.atClose, name === 'close', label)
            }
            t.is(sessions.date?.type, read.theirs[alias]?.date?.type, 'our date is stored like theirs')
            t.is(sessions.date?.zone, read.theirs[alias]?.date?.zone)
          }
        }
      },
    )
  }
}

type Keys = Record<string, Record<string, string>>

interface Seen {
  readonly age: number
  readonly atClose: boolean
  readonly date: Date
  readonly isDatetime: boolean
}

type Caches = Record<string, Record<string, Found>>

interface Read {
  readonly theirs: Caches
  readonly ours: Caches
}

interface Found {
  readonly ours: number
  readonly age: number
  readonly date: number
  readonly atClose: boolean
  readonly type: string
  readonly zone: string | null
}

function look(session: Session): Seen {
  return {
    age: session.getExpiryAge(),
    atClose: session.getExpireAtBrowserClose(),
    date: session.getExpiryDate(),
    isDatetime: session.get('_session_expiry') instanceof PythonDatetime,
  }
}

/** Null for an expiry at INSTANT; for one that counts from now, a tolerance of minutes is enough. */
function isAge(
  t: ExecutionContext,
  age: number | undefined,
  expected: number | null | undefined,
  label: string,
) {
  if (expected === undefined) return t.fail(`${label} is unknown`)
  const left = expected ?? (INSTANT.getTime() - Date.now()) / 1000
  t.true(Math.abs((age ?? 0) - left) < 100, `${label}: ${age} instead of ${left}`)
}

async function openSite(
  t: ExecutionContext,
  { version, useTz, timeZone }: { version: string; useTz: boolean; timeZone: string },
) {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const DJANGO = 'django.core.cache.backends.'
  const entries: Record<string, { BACKEND: string; LOCATION: string; KEY_PREFIX?: string }> = {
    default: { BACKEND: `${DJANGO}db.DatabaseCache`, LOCATION: 'sessions_cache' },
    files: { BACKEND: `${DJANGO}filebased.FileBasedCache`, LOCATION: temporaryFolder(t) },
    redis: { BACKEND: 'django_redis.cache.RedisCache', LOCATION: redis.location },
    memcached: {
      BACKEND: `${DJANGO}memcached.${Number(version) < 3.2 ? 'PyLibMCCache' : 'PyMemcacheCache'}`,
      LOCATION: memcached.location,
      KEY_PREFIX: `${version}${useTz}`,
    },
  }
  const CACHES = JSON.stringify(entries)
  const env = {
    ...{ SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, CACHES },
    ...{ USE_TZ: String(useTz), TIME_ZONE: timeZone, SESSION_COOKIE_AGE: String(COOKIE_AGE) },
  }
  const aliases = Object.keys(entries)
  const python = async <T>(script: string, input: object): Promise<T> =>
    JSON.parse(await djangoShell(version, { env, script, input: JSON.stringify({ ...input, aliases }) }))

  /** Visits our site with this cache; returns the session key. */
  async function open(alias: string) {
    const { cache } = readSettings(
      { ...env, DJANGO_SECRET_KEY: secretKey, SESSION_ENGINE, SESSION_CACHE_ALIAS: alias },
      { cwd: '/nowhere' },
    )
    let during: (session: Session) => unknown = () => {}
    const url = await startKoa(t, {
      ...{ databaseUrl, version, useTz, timeZone, cookieAge: COOKIE_AGE, engine: SESSION_ENGINE },
      ...(cache !== null && { cache }),
      during: (session) => during(session),
    })
    return async (label: string, key: string | null, then: typeof during): Promise<string> => {
      const visitor = createVisitor()
      if (key !== null) visitor.setCookie(key)
      const reading = await visitor.fetch(`${url}/_test/session`)
      t.is(reading.status, 200, `${label}: a page that reads`)
      during = then
      const writing = await visitor.fetch(`${url}/_test/session`, { method: 'POST', body: '{"ours":1}' })
      during = () => {}
      t.is(writing.status, 200, `${label}: a page that writes`)
      return visitor.cookie() ?? ''
    }
  }
  return { aliases, python, open }
}

/** For each cache: the keys of sessions with each kind of expiry. */
const CREATE = `
import datetime, json, sys
from django.conf import settings
from django.core.management import call_command
from django.test.utils import override_settings
from django.utils import timezone
from importlib import import_module
given = json.load(sys.stdin)
call_command('createcachetable', verbosity=0)
store = import_module('django.contrib.sessions.backends.cache').SessionStore
utc = datetime.datetime.strptime(given['instant'], '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=datetime.timezone.utc)
here = utc.astimezone(timezone.get_default_timezone())
expiries = {'seconds': 300, 'close': 0, 'none': None, 'delta': datetime.timedelta(days=3), 'again': 300}
if settings.USE_TZ:
    expiries['date'] = utc.astimezone(timezone.utc if hasattr(timezone, 'utc') else datetime.timezone.utc)
    expiries['local'] = here
    expiries['fixed'] = utc.astimezone(timezone.get_fixed_timezone(-210))
    expiries['zone'] = here
    try:
        import pytz
        expiries['zone'] = utc.astimezone(pytz.timezone('America/New_York'))
    except ImportError:
        pass
else:
    expiries['date'] = timezone.make_naive(utc, timezone.get_default_timezone())
def create(expiry):
    session = store()
    session['django'] = 'Django'
    session.set_expiry(expiry)
    session.save()
    return session.session_key
keys = {}
for alias in given['aliases']:
    with override_settings(SESSION_CACHE_ALIAS=alias):
        keys[alias] = {name: create(expiry) for name, expiry in expiries.items()}
print(json.dumps(keys))
`

/** Loads and saves each session in Django; prints how Django reads it. */
const READ = `
import json, sys
from django.contrib.sessions.backends.cache import SessionStore
from django.test.utils import override_settings
from django.utils import timezone
given = json.load(sys.stdin)
def read(key):
    session = SessionStore(key)
    stored = session.get('_session_expiry')
    date = session.get_expiry_date()
    zone = getattr(stored, 'tzinfo', None)
    answer = {
        'ours': session['ours'],
        'age': session.get_expiry_age(),
        'date': (date if timezone.is_aware(date) else timezone.make_aware(date)).timestamp(),
        'atClose': session.get_expire_at_browser_close(),
        'type': type(stored).__name__,
        'zone': zone and repr(zone),
    }
    session['again'] = 1
    session.save()
    assert SessionStore(key).get('again') == 1
    return answer
def all_of(keys):
    found = {}
    for alias in given['aliases']:
        with override_settings(SESSION_CACHE_ALIAS=alias):
            found[alias] = {name: read(key) for name, key in keys[alias].items()}
    return found
print(json.dumps({'theirs': all_of(given['theirs']), 'ours': all_of(given['ours'])}))
`
