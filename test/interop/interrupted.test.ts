import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readSettings } from '../../src/service/settings/settings.ts'
import type { Session } from '../../src/session/session.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { projectFolder } from '../support/places.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { secretKey, startKoa, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const file = fileScope(test)
const pythonFolder = join(projectFolder, 'python')
const ENGINE = 'django.contrib.sessions.backends.'
const DJANGO = 'django.core.cache.backends.'

let redis: CacheServer
test.before(async () => {
  redis = await startRedis()
  file.teardown(() => redis.stop())
})

/** What a page does with its session: `existing` has one, `new` has none yet; `gone`: another request deletes it. */
const PAGES: readonly (readonly ['existing' | 'new', ...(keyof typeof STEPS)[]])[] = [
  ['existing', 'set', 'gone'],
  ['existing', 'read', 'gone'],
  ['existing', 'save', 'gone'],
  ['existing', 'set', 'save', 'gone'],
  ['existing', 'set', 'save'],
  ['existing', 'save', 'set', 'gone'],
  ['existing', 'set', 'save', 'gone', 'set'],
  ['existing', 'set', 'save', 'gone', 'read'],
  ['existing', 'set', 'save', 'set', 'save', 'gone'],
  ['existing', 'update nothing', 'save', 'gone'],
  ['existing', 'cycle', 'gone'],
  ['existing', 'cycle', 'save', 'gone'],
  ['existing', 'set', 'cycle', 'gone', 'set'],
  ['existing', 'cycle'],
  ['existing', 'gone', 'flush'],
  ['existing', 'flush', 'gone'],
  ['existing', 'set', 'save', 'gone', 'flush'],
  ['existing', 'set', 'save', 'gone', 'flush', 'set'],
  ['existing', 'flush', 'set', 'save', 'gone'],
  ['existing', 'set', 'save', 'expire', 'save'],
  ['existing', 'expire', 'save'],
  ['existing', 'expire'],
  ['new', 'save', 'gone'],
  ['new', 'set', 'save', 'gone'],
  ['new', 'set', 'save'],
  ['new', 'set', 'cycle', 'gone'],
  ['new', 'set', 'save', 'gone', 'set'],
]

const STEPS = {
  read: (session: Session) => session.get('a'),
  set: (session: Session) => session.set('a', 2),
  save: (session: Session) => session.save(),
  cycle: (session: Session) => session.cycleKey(),
  flush: (session: Session) => session.flush(),
  expire: (session: Session) => session.setExpiry(-10),
  'update nothing': (session: Session) => session.update({}),
  gone: (session: Session, logOut: (sessionKey: string) => Promise<void>) =>
    session.sessionKey === null ? undefined : logOut(session.sessionKey),
}

/** The engines, with the cache of those that use one. */
const sites = [
  'db',
  'file',
  'signed_cookies',
  'cached_db redis',
  'cache redis',
  'cache files',
  'cache database',
]

/** The engines of python/, which answer as the engine of Django does. */
const merging = { 'merging_sessions.db': 'db', 'merging_sessions.cached_db redis': 'cached_db redis' }

for (const version of djangoVersions) {
  const name = version === djangoVersions.at(-1) ? (testDatabases[0] ?? 'sqlite') : 'sqlite'

  test(`a session deleted by another request is an error in the same cases as in Django ${version}, on ${name}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, name, { tables: 'library' })
    const settings = {
      SESSION_FILE_PATH: temporaryFolder(t),
      CACHES: JSON.stringify({
        database: { BACKEND: `${DJANGO}db.DatabaseCache`, LOCATION: 'sessions_cache' },
        files: { BACKEND: `${DJANGO}filebased.FileBasedCache`, LOCATION: temporaryFolder(t) },
        redis: { BACKEND: 'django_redis.cache.RedisCache', LOCATION: redis.location, KEY_PREFIX: version },
        default: { BACKEND: `${DJANGO}locmem.LocMemCache` },
      }),
    }
    const env = { ...settings, SECRET_KEY: secretKey, DATABASE_URL: databaseUrl }
    const measured: Record<string, Answer[]> = JSON.parse(
      await djangoShell(version, {
        env,
        script: DJANGO_PAGES,
        input: JSON.stringify({
          sites: [...sites, ...Object.keys(merging)],
          pages: PAGES,
          path: pythonFolder,
        }),
      }),
    )
    for (const site of sites) {
      const answers = await ourPages(t, { site, version, databaseUrl, settings })
      for (const [at, page] of PAGES.entries())
        t.deepEqual(answers[at], measured[site]?.[at], `${site}: ${page.join(', ')}`)
    }
    for (const [site, djangos] of Object.entries(merging)) {
      for (const [at, page] of PAGES.entries())
        t.deepEqual(measured[site]?.[at], measured[djangos]?.[at], `${site}: ${page.join(', ')}`)
    }
    t.deepEqual(
      [measured.db, measured.signed_cookies].map((answers) => answers?.some(({ status }) => status === 400)),
      [true, false],
    )
  })
}

interface Answer {
  readonly status: number
  /** The effect on the browser's cookie. */
  readonly cookie: 'kept' | 'set' | 'removed'
}

async function ourPages(
  t: ExecutionContext,
  {
    site,
    version,
    databaseUrl,
    settings,
  }: {
    site: string
    version: string
    databaseUrl: string
    settings: { SESSION_FILE_PATH: string; CACHES: string }
  },
): Promise<Answer[]> {
  const [engine, SESSION_CACHE_ALIAS] = site.split(' ')
  const { cache } = readSettings(
    {
      ...settings,
      DJANGO_SECRET_KEY: secretKey,
      SESSION_ENGINE: ENGINE + engine,
      ...(SESSION_CACHE_ALIAS && { SESSION_CACHE_ALIAS }),
    },
    { cwd: '/nowhere' },
  )
  let during: (session: Session) => unknown = () => {}
  const options = {
    ...{ databaseUrl, version, engine: ENGINE + engine, filePath: settings.SESSION_FILE_PATH },
    ...(cache !== null && { cache }),
  }
  const [url, other] = [
    await startKoa(t, { ...options, during: (session) => during(session) }),
    await startKoa(t, options),
  ]
  const logOut = async (sessionKey: string) => {
    const headers = { Cookie: `sessionid=${sessionKey}` }
    t.is((await fetch(`${other}/`, { method: 'DELETE', headers })).status, 200)
  }
  const answers: Answer[] = []
  for (const [begin, ...steps] of PAGES) {
    const visitor = createVisitor()
    if (begin === 'existing') await visitor.fetch(`${other}/`, { method: 'POST', body: '{"a":1}' })
    during = async (session) => {
      for (const step of steps) await STEPS[step](session, logOut)
    }
    const { status, headers } = await visitor.fetch(`${url}/`)
    const [cookie] = headers.getSetCookie()
    const isRemoved = cookie?.startsWith('sessionid=""')
    answers.push({ status, cookie: cookie === undefined ? 'kept' : isRemoved ? 'removed' : 'set' })
  }
  return answers
}

const DJANGO_PAGES = `
import json, logging, sys
from importlib import import_module
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path
logging.disable(logging.CRITICAL)
call_command('createcachetable', verbosity=0)
given = json.load(sys.stdin)
sys.path.insert(0, given['path'])
current = {}
def gone(session):
    if session.session_key is not None:
        current['store']().delete(session.session_key)
STEPS = {
    'read': lambda session: session.get('a'),
    'set': lambda session: session.__setitem__('a', 2),
    'save': lambda session: session.save(),
    'cycle': lambda session: session.cycle_key(),
    'flush': lambda session: session.flush(),
    'expire': lambda session: session.set_expiry(-10),
    'update nothing': lambda session: session.update({}),
    'gone': gone,
}
def view(request):
    for step in current['steps']:
        STEPS[step](request.session)
    return HttpResponse()
urlpatterns = [path('', view)]
def answer(page):
    client = Client()
    current['steps'] = page[1:]
    if page[0] == 'existing':
        session = current['store']()
        session['a'] = 1
        session.save()
        client.cookies['sessionid'] = session.session_key
    response = client.get('/')
    cookie = response.cookies.get('sessionid')
    return {
        'status': response.status_code,
        'cookie': 'kept' if cookie is None else 'set' if cookie.value else 'removed',
    }
answers = {}
for site in given['sites']:
    engine, alias = (site + ' default').split(' ')[:2]
    if '.' not in engine:
        engine = 'django.contrib.sessions.backends.' + engine
    with override_settings(ROOT_URLCONF='__main__', SESSION_ENGINE=engine, SESSION_CACHE_ALIAS=alias):
        current['store'] = import_module(engine).SessionStore
        answers[site] = [answer(page) for page in given['pages']]
print(json.dumps(answers))
`
