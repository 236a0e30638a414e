/** node:sqlite under Knex gives what better-sqlite3 gives. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import knex, { type Knex } from 'knex'
import { NodeSqlite, sqliteClient } from '../../../src/service/database/sqlite-client.ts'
import { execute } from '../../support/executables.ts'
import { readyNodes } from '../../support/nodes.ts'
import { projectFolder } from '../../support/places.ts'

const DRIVERS: Readonly<Record<string, () => unknown>> = {
  'better-sqlite3': () => createRequire(import.meta.url)('better-sqlite3'),
  'node:sqlite': () => NodeSqlite,
}

function createTestFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sqlite-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function open(t: ExecutionContext, driver: string, filename: string): Knex {
  const db = knex({
    client: sqliteClient(DRIVERS[driver]),
    connection: { filename },
    useNullAsDefault: true,
    pool: { min: 0, max: 1 },
    log: { error: () => null }, // Knex prints what the test expects
  })
  t.teardown(() => db.destroy())
  return db
}

const codeOf = (work: PromiseLike<unknown>) =>
  Promise.resolve(work).then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  )

for (const driver of Object.keys(DRIVERS)) {
  test(`${driver} stores, returns and counts`, async (t) => {
    const db = open(t, driver, join(createTestFolder(t), 'db.sqlite3'))
    await db.raw('CREATE TABLE one (id integer PRIMARY KEY, name varchar(9) UNIQUE, bytes blob, size real)')
    const inserted = await db('one').insert({ name: 'a', bytes: Buffer.from([0, 255]), size: 1.5 })
    t.deepEqual(inserted, [1])
    await db('one').insert({ name: 'é', bytes: null, size: 2 })

    const rows = await db('one').orderBy('id').limit(2)
    t.deepEqual(
      rows.map((row) => ({ ...row })),
      [
        { id: 1, name: 'a', bytes: Buffer.from([0, 255]), size: 1.5 },
        { id: 2, name: 'é', bytes: null, size: 2 },
      ],
    )
    t.is(await db('one').update({ size: 3 }), 2)
    t.deepEqual(
      (await db('one').insert({ name: 'r' }).returning('id')).map((row) => ({ ...row })),
      [{ id: 3 }],
    )
    await t.throwsAsync(
      db.transaction(async (transaction) => {
        await transaction('one').delete()
        throw new Error('rolled back')
      }),
      { message: 'rolled back' },
    )
    t.is(Number((await db('one').count({ n: '*' }))[0]?.n), 3)
  })

  test(`${driver} rounds an integer that no number can hold, and returns every other value as it is`, async (t) => {
    const db = open(t, driver, join(createTestFolder(t), 'db.sqlite3'))
    await db.raw('CREATE TABLE one (whole integer, size real, name text)')
    for (const whole of ['9007199254740993', '-9223372036854775808', '9223372036854775807', '0', 'NULL'])
      await db.raw(`INSERT INTO one VALUES (${whole}, 1e308, 'a' || char(0) || '😀')`)
    const row = { size: 1e308, name: 'a\0😀' }
    t.deepEqual(
      (await db('one').orderBy('rowid')).map((one) => ({ ...one })),
      [9007199254740992, -(2 ** 63), 2 ** 63, 0, null].map((whole) => ({ whole, ...row })),
    )
    const changed = await db('one').where({ whole: 0 }).update({ whole: 1 })
    t.is(changed, 1)
  })

  test(`${driver} says by a code what is wrong`, async (t) => {
    const file = join(createTestFolder(t), 'db.sqlite3')
    const db = open(t, driver, file)
    await db.raw('CREATE TABLE one (id integer PRIMARY KEY, name varchar(9) NOT NULL UNIQUE)')
    await db('one').insert({ id: 1, name: 'a' })
    t.is(await codeOf(db('one').insert({ id: 1, name: 'b' })), 'SQLITE_CONSTRAINT_PRIMARYKEY')
    t.is(await codeOf(db('one').insert({ id: 2, name: 'a' })), 'SQLITE_CONSTRAINT_UNIQUE')
    t.is(await codeOf(db('one').insert({ id: 2, name: null })), 'SQLITE_CONSTRAINT_NOTNULL')
    t.is(await codeOf(db('nothing').select()), 'SQLITE_ERROR')
    t.regex(String(await codeOf(open(t, driver, join(file, 'none')).raw('SELECT 1'))), /^SQLITE_CANTOPEN/)

    const other = open(t, driver, file)
    await other.raw('PRAGMA busy_timeout = 1')
    const holding = await db.transaction()
    await holding('one').insert({ id: 3, name: 'c' })
    t.is(await codeOf(other('one').insert({ id: 4, name: 'd' })), 'SQLITE_BUSY')
    await holding.rollback()
  })
}

/** Prints which driver is used, what a table holds, and Node's warnings about SQLite. */
const PROGRAM = `
import knex from 'knex'
import { NodeSqlite, sqliteClient } from './src/service/database/sqlite-client.ts'
const warnings = []
process.on('warning', ({ message }) => warnings.push(message))
const db = knex({ client: sqliteClient(), connection: { filename: ':memory:' }, useNullAsDefault: true, pool: { min: 1, max: 1 } })
await db.raw('CREATE TABLE one (id integer)')
await db('one').insert({ id: 7 })
console.log(JSON.stringify({
  isOfNode: db.client.driver === NodeSqlite,
  rows: await db('one').select(),
  warnings: warnings.filter((message) => message.includes('SQLite')),
}))
await db.destroy()
`

for (const { version, file } of [
  ...readyNodes('supported'),
  { version: process.versions.node, file: process.execPath },
]) {
  const run = async (...options: readonly string[]) => {
    const args = [...options, '--input-type=module', '--eval', PROGRAM]
    return JSON.parse((await execute(file, args, { cwd: projectFolder })).stdout)
  }

  test(`on Node ${version} its own SQLite comes before better-sqlite3, without a warning`, async (t) => {
    t.deepEqual(await run(), { isOfNode: true, rows: [{ id: 7 }], warnings: [] })
  })

  test(`a Node ${version} that is built without SQLite uses better-sqlite3`, async (t) => {
    const options = ['--no-experimental-sqlite']
    t.deepEqual(await run(...options), { isOfNode: false, rows: [{ id: 7 }], warnings: [] })
  })
}
