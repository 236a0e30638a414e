import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { poolState } from '../../../src/service/database/pool-state.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase, testDatabases } from '../../support/databases.ts'
import { projectFolder } from '../../support/places.ts'

const run = promisify(execFile)

for (const name of testDatabases) {
  test(`on ${name} a free connection is taken at once`, async (t) => {
    const db = await open(t, name)
    await db.raw('SELECT 1')
    t.deepEqual(poolState([db]), { used: 0, free: 1, waiting: 0 })
    const taken = db.client.acquireConnection()
    t.deepEqual(poolState([db]), { used: 1, free: 0, waiting: 0 })
    await db.client.releaseConnection(await taken)
    t.deepEqual(poolState([db]), { used: 0, free: 1, waiting: 0 })
  })

  test(`on ${name} those who wait for a connection get it before those who come later`, async (t) => {
    const db = await open(t, name, { DATABASE_POOL_SIZE: '1' })
    const held = await db.client.acquireConnection()
    const order: string[] = []
    const take = async (who: string) => {
      const connection = await db.client.acquireConnection()
      order.push(who)
      await db.client.releaseConnection(connection)
    }
    const all = ['first', 'second', 'third'].map(take)
    t.is(poolState([db]).waiting, 3)
    await db.client.releaseConnection(held)
    await Promise.all([...all, take('last')])
    t.deepEqual(order, ['first', 'second', 'third', 'last'])
    t.deepEqual(poolState([db]), { used: 0, free: 1, waiting: 0 })
  })

  test(`on ${name} a connection that reported an error is not taken`, async (t) => {
    const db = await open(t, name)
    const connection = await db.client.acquireConnection()
    await db.client.releaseConnection(connection)
    connection.__knex__disposed = new Error('lost')
    const other = await db.client.acquireConnection()
    t.not(other, connection)
    await db.client.releaseConnection(other)
  })

  test(`on ${name} a database that was closed gives no connection`, async (t) => {
    const db = await open(t, name)
    await db.raw('SELECT 1')
    await db.destroy()
    await t.throwsAsync(db.raw('SELECT 1'), { message: /Unable to acquire a connection/ })
  })

  test(`on ${name} the events of Knex tell each statement, and each error`, async (t) => {
    const db = await open(t, name)
    const told: unknown[] = []
    db.on('query', ({ sql, bindings }) => told.push([sql, bindings]))
    db.on('query-error', (error: Error, { sql, bindings }) => told.push([error.message, sql, bindings]))
    await db.raw('SELECT ? AS one', [1])
    await t.throwsAsync(db.raw('SELECT no_such_column FROM django_session WHERE session_key = ?', ['x']))
    const placed = (sql: string) => (name === 'postgresql' ? sql.replace('?', '$1') : sql)
    t.deepEqual(told.slice(0, 2), [
      [placed('SELECT ? AS one'), [1]],
      [placed('SELECT no_such_column FROM django_session WHERE session_key = ?'), ['x']],
    ])
    const [message, sql, bindings] = told[2] as [string, string, unknown[]]
    t.regex(message, /no_such_column/)
    t.true(message.startsWith(`${sql} - `))
    t.deepEqual(bindings, ['x'])
    t.is(told.length, 3)
  })

  test(`on ${name} no value of a statement is shown with DEBUG`, async (t) => {
    const { url } = await createTestDatabase(t, name)
    const script = `
      import { openDatabase } from './src/service/database/open-database.ts'
      import { readSettings } from './src/service/settings/settings.ts'
      const db = openDatabase(readSettings({ DATABASE_URL: ${JSON.stringify(url)}, DJANGO_SECRET_KEY: 'x' }).database)
      await db('django_session').where({ session_data: 'a secret of a visitor' })
      await db.transaction(async (inside) => inside('django_session').where({ session_data: 'a secret of a visitor' }))
      await db.destroy()`
    const { stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: projectFolder,
      env: { ...process.env, DEBUG: 'knex:*' },
    })
    t.regex(stderr, /knex:client/) // DEBUG is heard
    t.notRegex(stderr, /secret/)
  })
}

test('on postgresql a statement with options of its own is run with them, also after many runs', async (t) => {
  const db = await open(t, 'postgresql')
  for (let runs = 0; runs < 12; runs += 1) {
    const rows = await db.select(db.raw('? AS one', ['1'])).options({ rowMode: 'array' })
    t.deepEqual(rows, [['1']])
    t.deepEqual(await db.select(db.raw('? AS one', ['1'])), [{ one: '1' }])
  }
})

test('on postgresql a question mark that is escaped is no placeholder, also the second time', async (t) => {
  const db = await open(t, 'postgresql')
  for (let runs = 0; runs < 2; runs += 1) {
    const { rows } = await db.raw(`SELECT '{"a": 1}'::jsonb \\? ? AS has`, ['a'])
    t.deepEqual(rows, [{ has: true }])
  }
})

async function open(
  t: ExecutionContext,
  name: (typeof testDatabases)[number],
  env: NodeJS.ProcessEnv = {},
): Promise<Knex> {
  const { url } = await createTestDatabase(t, name)
  const settings = readSettings(
    { DJANGO_SECRET_KEY: 'x', DATABASE_TIMEOUT: '30', ...env, DATABASE_URL: url },
    { cwd: '/nowhere' },
  )
  const db = openDatabase(settings.database)
  t.teardown(() => db.destroy())
  return db
}
