import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import Knex from 'knex'
import { baseEngineOf, SESSION_ENGINES } from '../../src/django/session-engines.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { openSessionEngine, type SessionEngineOptions } from '../../src/engines/open-engine.ts'
import { NO_EVENTS } from '../../src/session/events.ts'

// It connects to nothing before the first statement.
const db = Knex({ client: 'better-sqlite3', connection: ':memory:', useNullAsDefault: true })
test.after.always(() => db.destroy())

const cache = {
  backend: 'django.core.cache.backends.filebased.FileBasedCache',
  location: [join(tmpdir(), 'no such folder')],
  keyPrefix: '',
  version: 1,
  options: {},
}

function optionsOf(engine: string, given: Partial<SessionEngineOptions>): SessionEngineOptions {
  return {
    engine,
    db,
    cache,
    table: null,
    storeClass: null,
    columns: null,
    filePath: null,
    cookieName: 'sessionid',
    secretKeys: ['a secret key'],
    profile: versionProfile('5.2'),
    serializer: 'json',
    rules: {
      cookieAge: 60,
      expireAtBrowserClose: false,
      useTz: true,
      timeZone: 'UTC',
      storesIsoExpiry: true,
    },
    now: () => new Date(),
    timeout: 1000,
    events: NO_EVENTS,
    ...given,
  }
}

for (const [path, needs] of SESSION_ENGINES) {
  test(`${path} opens, and asks for the database and the cache that it needs`, async (t) => {
    const opened = openSessionEngine(optionsOf(path, {}))
    t.is(opened.engine.keepsNothing === true, needs.keptIn === 'cookie')
    await opened.close()

    const withoutDb = () => openSessionEngine(optionsOf(path, { db: null }))
    if (needs.table === null) await withoutDb().close()
    else t.throws(withoutDb, { instanceOf: TypeError, message: /^the session engine \S+ needs a database;/ })

    const withoutCache = () => openSessionEngine(optionsOf(path, { cache: null }))
    if (!needs.needsCache) await withoutCache().close()
    else t.throws(withoutCache, { instanceOf: TypeError, message: /^the session engine \S+ needs a cache;/ })
  })
}

test('an unknown engine is refused by an error that lists the supported ones', (t) => {
  const error = t.throws(() => openSessionEngine(optionsOf('my.engine', {})), { instanceOf: TypeError })
  t.true(error.message.startsWith('"my.engine" is not a supported session engine; use django.contrib.'))
  for (const path of SESSION_ENGINES.keys()) t.true(error.message.includes(path))
})

test('the engines of merging_sessions keep sessions where their base in Django does', (t) => {
  const merging = [...SESSION_ENGINES.keys()].filter((path) => path.startsWith('merging_sessions.'))
  t.is(merging.length, 2)
  for (const path of merging)
    t.deepEqual(SESSION_ENGINES.get(path), SESSION_ENGINES.get(baseEngineOf(path)), path)
  t.is(baseEngineOf('qsessions.backends.db'), 'qsessions.backends.db')
})
