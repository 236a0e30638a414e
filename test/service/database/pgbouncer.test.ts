import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createDateColumn } from '../../../src/django/datetime.ts'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createDbEngine } from '../../../src/engines/db.ts'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from '../../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../../support/django.ts'
import { type PgbouncerOptions, startPgbouncer } from '../../support/pgbouncer.ts'
import { startService } from '../../support/service.ts'

const KEY = 'abcdefghijklmnopqrstuvwxyz012345'
const secretKey = 'the key of both'

/** Prints the parameters of a Django's connection. */
const SESSION_STATE = `
from django.db import connection
names = ['TimeZone', 'DateStyle', 'client_encoding', 'statement_timeout', 'search_path', 'default_transaction_isolation',
         'standard_conforming_strings', 'lock_timeout', 'role']
with connection.cursor() as cursor:
    for name in names:
        cursor.execute('SHOW ' + name)
        print(name, cursor.fetchone()[0])`

if (testDatabases.includes('postgresql')) {
  for (const poolMode of ['session', 'transaction'] as const) {
    test.serial(
      `behind a PgBouncer with ${poolMode} pooling the service and Django share a session`,
      async (t) => {
        const { url } = await createTestDatabase(t, 'postgresql', { tables: 'library' })
        const through = await bouncer(t, url, { poolMode, settings: ['default_pool_size = 4'] })
        const [version = ''] = djangoVersions.slice(-1)
        const django = await startDjango(t, {
          version,
          secretKey,
          databaseUrl: through,
          settings: { TIME_ZONE: 'Asia/Seoul' },
        })
        const ours = await startService(t, {
          env: {
            DATABASE_URL: through,
            DATABASE_POOL_SIZE: '2',
            DJANGO_SECRET_KEY: secretKey,
            DJANGO_VERSION: version,
            USE_TZ: 'True',
            TIME_ZONE: 'Asia/Seoul',
          },
        })
        const visitor = createVisitor()
        for (const [at, site] of [django.url, ours.url, django.url, ours.url].entries())
          t.is(await visitor.visit(site), at + 1)
      },
    )

    for (const version of djangoVersions) {
      test.serial(
        `with ${poolMode} pooling, Django ${version} finds its connection as Django set it up`,
        async (t) => {
          const { url } = await createTestDatabase(t, 'postgresql')
          const through = await bouncer(t, url, { poolMode })
          const env = { TIME_ZONE: 'Asia/Seoul', USE_TZ: 'false', DATABASE_URL: through }
          const stateOfDjango = () => djangoShell(version, { env, script: SESSION_STATE })
          // Also of a client that sets no parameters.
          const settings = () => runSql(through, 'SELECT name, setting FROM pg_settings ORDER BY name')
          const untouched = await settings()
          const before = await stateOfDjango()
          t.regex(before, /TimeZone Asia\/Seoul/)
          const db = open(t, through)
          await insertSession(db)
          t.regex((await db('django_session').first()).expire_date, /^2035-11-28 22:13:20\.123456\+00$/)
          await db.destroy() // With session pooling Django would wait for the only connection.
          t.is(await stateOfDjango(), before)
          t.deepEqual(await settings(), untouched)
          if (poolMode === 'session') return
          // Both use the same server connection, in turns.
          const next = open(t, through)
          for (let turn = 0; turn < 3; turn += 1) {
            t.regex((await next('django_session').first()).expire_date, /^2035-11-28 22:13:20\.123456\+00$/)
            t.is(await stateOfDjango(), before)
            t.deepEqual(await settings(), untouched)
          }
        },
      )
    }

    for (const settings of [[], ['ignore_startup_parameters = statement_timeout, options']]) {
      test.serial(
        `with ${poolMode} pooling and ${settings[0] ?? 'the defaults'}, a statement that waits for a lock is given up, and does not happen later`,
        async (t) => {
          const { url } = await createTestDatabase(t, 'postgresql')
          const through = await bouncer(t, url, { poolMode, settings })
          const db = open(t, through, { DATABASE_TIMEOUT: '3', DATABASE_POOL_SIZE: '1' })
          await insertSession(db)
          const holder = open(t, url, { DATABASE_TIMEOUT: '30' })
          await holder.transaction(async (transaction) => {
            await transaction('django_session').update({ session_data: 'held' })
            const waiting = db('django_session').update({ session_data: 'waited' })
            const error = (await t.throwsAsync(waiting)) as Error & { code?: string }
            // On a busy machine, the answer to the CancelRequest comes too late.
            t.true(['57014', 'ERR_DATABASE_TIMEOUT'].includes(error.code ?? ''), error.message)
          })
          // Locks are granted in turn: a statement that still waits would come first.
          t.is((await holder('django_session').forUpdate().first()).session_data, 'held')
          t.is((await db('django_session').first()).session_data, 'held')
        },
      )
    }
  }

  test('several connections that PgBouncer refuses at once, for their statement_timeout, are made without it', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql')
    const db = open(t, await bouncer(t, url, { poolMode: 'transaction' }))
    const rows = await Promise.all(Array.from({ length: 8 }, () => db('django_session')))
    t.deepEqual(rows.flat(), [])
    const again = open(
      t,
      `${await bouncer(t, url, { poolMode: 'transaction' })}?options=-c%20statement_timeout%3D9`,
    )
    await t.throwsAsync(again('django_session'), { code: 'ERR_DATABASE_MISMATCH' })
  })

  test('a pooler that loses prepared statements is noticed by its error: each is sent again, without a name', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql')
    const settings = ['max_db_connections = 2', 'default_pool_size = 2']
    const through = await bouncer(t, url, { poolMode: 'transaction', settings })
    const dbs = [open(t, through), open(t, through), open(t, `${through}?prepare_threshold=0`)]
    await insertSession(open(t, url))
    const refused: unknown[] = []
    for (const db of dbs) db.on('query-error', (error: { code?: unknown }) => refused.push(error.code))
    for (let round = 0; round < 10; round += 1) {
      const rows = await Promise.all(
        dbs.flatMap((db) =>
          Array.from({ length: 4 }, async () => db('django_session').where('session_key', KEY).first()),
        ),
      )
      t.deepEqual(new Set(rows.map(({ session_data }) => session_data)), new Set(['data']))
      const changed = await Promise.all(
        dbs.map((db) => db('django_session').where('session_key', KEY).update({ session_data: 'data' })),
      )
      t.deepEqual(changed, [1, 1, 1])
    }
    t.deepEqual(refused, [], 'Knex and its callers see no error')
  })

  test('sessions that are written at once through PgBouncer share statements, and leave its connection as it was', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql')
    const through = await bouncer(t, url, { poolMode: 'transaction' })
    const db = open(t, through)
    const dates = createDateColumn({ database: 'postgresql', useTz: true, timeZone: 'UTC' })
    const now = () => new Date()
    const codec = createSessionCodec({ secretKeys: ['x'], profile: versionProfile('5.2'), now })
    const engine = createDbEngine({ db, codec, dates })
    const statements: string[] = []
    db.on('query', ({ sql }: { sql: string }) => statements.push(sql))
    const session = (round: number) => ({
      data: new Map([['round', String(round)]]),
      expireDate: new Date(Date.now() + 3_600_000),
    })
    const keys = Array.from({ length: 20 }, (_, at) => `abcdefgh${at}`)
    let revisions = await Promise.all(
      keys.map(async (key) => (await engine.create(key, session(0))).revision),
    )
    for (let round = 1; round <= 8; round += 1) {
      const saved = keys.map(async (key, at) => {
        const { revision } = await engine.update(key, session(round), revisions[at] ?? '')
        return revision
      })
      revisions = await Promise.all(saved)
    }
    t.is(statements.filter((sql) => /^(?:insert|update)/.test(sql)).length, 9)
    t.is((await engine.load('abcdefgh7'))?.data.get('round'), '8')
    t.deepEqual(await runSql(through, 'SHOW lock_timeout'), [{ lock_timeout: '0' }])
  })

  test('through PgBouncer the search_path of the user works; a schema in the URL is an error that says what to do', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql', { tables: 'none' })
    await runScript(url, 'CREATE SCHEMA site; CREATE TABLE site.django_session (session_key varchar(40))')
    const through = await bouncer(t, url, { poolMode: 'transaction' })
    const error = await t.throwsAsync(open(t, `${through}?currentSchema=site`)('django_session').first(), {
      code: 'ERR_DATABASE_MISMATCH',
    })
    t.regex(error?.message ?? '', /does not take the parameter options; .*ALTER ROLE … SET search_path/)
    const database = new URL(url).pathname.slice(1)
    await runSql(url, `ALTER DATABASE ${database} SET search_path = site`)
    const again = await bouncer(t, url, { poolMode: 'transaction' })
    t.deepEqual(await open(t, again)('django_session'), [])
  })
}

async function bouncer(t: ExecutionContext, url: string, options: PgbouncerOptions): Promise<string> {
  const { location, stop } = await startPgbouncer(url, options)
  t.teardown(stop)
  return location
}

async function insertSession(db: Knex): Promise<void> {
  await db('django_session').insert({
    session_key: KEY,
    session_data: 'data',
    expire_date: '2035-11-28 22:13:20.123456+00',
  })
}

function open(t: ExecutionContext, DATABASE_URL: string, env: NodeJS.ProcessEnv = {}): Knex {
  const { database } = readSettings({ DJANGO_SECRET_KEY: 'x', DATABASE_TIMEOUT: '30', ...env, DATABASE_URL })
  const db = openDatabase(database)
  t.teardown(() => db.destroy())
  return db
}
