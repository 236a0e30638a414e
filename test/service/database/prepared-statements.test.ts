import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createPreparedStatements } from '../../../src/service/database/prepared-statements.ts'
import { connect } from '../../engines/db-under-test.ts'
import { createTestDatabase, testDatabases } from '../../support/databases.ts'

const SQL = 'select session_key from django_session where session_key = ?'

test('a statement has a name after `threshold` runs, the same in each process', (t) => {
  const prepared = createPreparedStatements(2)
  const names = Array.from({ length: 4 }, () => prepared.nameOf(SQL))
  t.deepEqual(names.slice(0, 2), [undefined, undefined])
  t.is(names[2], names[3])
  t.is(createPreparedStatements(0).nameOf(SQL), names[2])
  t.true((names[2] ?? '').length <= 63)
  t.not(createPreparedStatements(0).nameOf(`${SQL} or true`), names[2])
})

test('nothing has a name where the URL says so, nor has a statement that is not for the tables', (t) => {
  t.is(createPreparedStatements(null).nameOf(SQL), undefined)
  for (const sql of ['begin;', 'show lock_timeout', 'set role site'])
    t.is(createPreparedStatements(0).nameOf(sql), undefined)
})

test('a connection keeps a hundred plans at most', (t) => {
  const prepared = createPreparedStatements(0)
  const names = Array.from({ length: 150 }, (_, at) => prepared.nameOf(`select ${at}`))
  t.is(new Set(names.filter((name) => name !== undefined)).size, 100)
})

test('an error that is not about the name is left to the caller', (t) => {
  const prepared = createPreparedStatements(0)
  t.false(prepared.isNameRefused(null, SQL))
  t.false(prepared.isNameRefused(Object.assign(new Error(), { code: '40001' }), SQL))
  t.truthy(prepared.nameOf(SQL))
})

if (testDatabases.includes('postgresql')) {
  test('statements that run often are prepared, and none in a transaction', async (t) => {
    const db = await open(t)
    const names = async (): Promise<unknown[]> => {
      const { rows } = await db.raw('select name from pg_prepared_statements where statement like ?', [
        '%session_key%',
      ])
      return rows.map(({ name }: { name: unknown }) => name)
    }
    await db.transaction(async (transaction) => {
      for (let run = 0; run < 10; run += 1) await transaction.raw(SQL, ['key'])
    })
    t.deepEqual(await names(), [])
    for (let run = 0; run < 6; run += 1) await db.raw(SQL, ['key'])
    const [name, ...others] = await names()
    t.regex(String(name), /^select session_key from django_session /)
    t.deepEqual(others, [])
  })

  test('after a migration has changed the type of a column, its statements are sent without a name', async (t) => {
    const db = await open(t)
    const read = () => db.raw('select expire_date from django_session where session_key = ?', ['key'])
    for (let run = 0; run < 7; run += 1) await read()
    await db.raw('alter table django_session alter column expire_date type timestamp')
    for (let run = 0; run < 3; run += 1) t.deepEqual((await read()).rows, [])
  })
}

/** One connection. */
async function open(t: ExecutionContext): Promise<Knex> {
  const { url } = await createTestDatabase(t, 'postgresql')
  const db = connect(url)
  db.client.pool.max = 1
  t.teardown(() => db.destroy())
  return db
}
