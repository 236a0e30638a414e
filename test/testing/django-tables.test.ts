import { readFileSync } from 'node:fs'
import test from 'ava'
import { openDjangoSite } from '../../src/index.ts'
import { createDjangoTablesForTests, DjangoTablesExist } from '../../src/testing/testing-exports.ts'
import { testingTables } from '../../tools/testing-tables.ts'
import { connect } from '../engines/db-under-test.ts'
import {
  createTestDatabase,
  runScript,
  runSql,
  type TestDatabase,
  type TestDatabaseName,
  testDatabases,
} from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { openWith, sqlDrivers } from '../support/sql-drivers.ts'

const MIGRATE = 'from django.core.management import call_command; call_command("migrate", verbosity=0)'

for (const name of testDatabases) {
  for (const version of djangoVersions.filter((one) => one === '5.2'))
    test(`the tables on ${name} are those of Django ${version}, which migrates its own applications beside them`, async (t) => {
      t.timeout(110_000)
      const [ours, theirs] = [await emptyDatabase(t, name), await emptyDatabase(t, name)]
      await createDjangoTablesForTests(ours.db)
      t.is((await runSql(ours.url, 'SELECT * FROM django_migrations')).length, 18)
      for (const { url } of [ours, theirs])
        await djangoShell(version, { env: { DATABASE_URL: url }, script: MIGRATE })
      const made = await describe(theirs)
      t.true(made.length > 20)
      t.deepEqual(await describe(ours), made)
      for (const sql of ROWS) {
        const rows = await runSql(theirs.url, sql)
        t.true(rows.length > 10, sql)
        t.deepEqual(await runSql(ours.url, sql), rows)
      }
      // The next row gets an id of its own.
      await runScript(ours.url, "INSERT INTO django_content_type (app_label, model) VALUES ('a', 'b')")
    })

  test(`a database on ${name} that has one of the tables is refused, and stays as it is`, async (t) => {
    const made = await emptyDatabase(t, name)
    await runScript(made.url, 'CREATE TABLE auth_user (id integer); CREATE TABLE own (id integer)')
    const before = await describe(made)
    const error = await t.throwsAsync(createDjangoTablesForTests(made.db), { instanceOf: DjangoTablesExist })
    t.is((error as DjangoTablesExist).code, 'ERR_DJANGO_TABLES_EXIST')
    t.regex(error?.message ?? '', /^the database already has auth_user; .* needs an empty database/)
    t.deepEqual(await describe(made), before)
    await runScript(made.url, 'DROP TABLE auth_user')
    await t.notThrowsAsync(createDjangoTablesForTests(made.db))
    await t.throwsAsync(createDjangoTablesForTests(made.db), { message: /auth_group, .*, django_session;/ })
  })
}

for (const { driver, on } of sqlDrivers)
  for (const name of on.filter((one) => testDatabases.includes(one)))
    test(`the tables that are made through ${driver} on ${name} are the same`, async (t) => {
      const [byKnex, made] = [await emptyDatabase(t, name), await emptyDatabase(t, name)]
      await createDjangoTablesForTests(byKnex.db)
      const db = openWith(t, driver, made.url)
      await createDjangoTablesForTests(db)
      t.deepEqual(await describe(made), await describe(byKnex))
      for (const sql of ROWS) t.deepEqual(await runSql(made.url, sql), await runSql(byKnex.url, sql))
      await runScript(made.url, "INSERT INTO django_content_type (app_label, model) VALUES ('a', 'b')")
      await t.throwsAsync(createDjangoTablesForTests(db), { instanceOf: DjangoTablesExist })

      // A site works on them.
      const site = openDjangoSite({ db, secretKeys: ['a key of the tests'], djangoVersion: '5.2' })
      const session = await site.open(undefined).session.load()
      session.set('a', 1)
      await session.save()
      t.is((await runSql(made.url, 'SELECT * FROM django_session')).length, 1)
    })

for (const driver of ['knex', ...sqlDrivers.map((one) => one.driver)] as const)
  for (const name of testDatabases.filter((one) => one === 'sqlite' || one === 'postgresql')) {
    if (driver !== 'knex' && !sqlDrivers.some((one) => one.driver === driver && one.on.includes(name)))
      continue
    test(`a statement that fails on ${name} through ${driver} leaves no tables`, async (t) => {
      const { db, ...made } = await emptyDatabase(t, name)
      // The name of the last index.
      await runScript(
        made.url,
        'CREATE TABLE own (id integer); CREATE INDEX django_session_expire_date_a5c62663 ON own (id)',
      )
      const before = await describe(made)
      await t.throwsAsync(
        createDjangoTablesForTests(driver === 'knex' ? db : openWith(t, driver, made.url)),
        { message: /already exists|already an index/ },
      )
      t.deepEqual(await describe(made), before)
    })
  }

test('what is not a database is refused', async (t) => {
  await t.throwsAsync(createDjangoTablesForTests('sqlite://' as never), {
    instanceOf: TypeError,
    message: /^createDjangoTablesForTests: db is a string; it must be a Knex: .* or a pool of mysql2 or pg/,
  })
})

test('src/testing/tables.ts is what tools/testing-tables.ts makes', (t) => {
  t.is(readFileSync(new URL('../../src/testing/tables.ts', import.meta.url), 'utf8'), testingTables())
})

async function emptyDatabase(t: Scope, name: TestDatabaseName) {
  const database = await createTestDatabase(t, name, { tables: 'none' })
  await runScript(database.url, 'SELECT 1') // makes the file of SQLite
  const db = connect(database.url)
  t.teardown(() => db.destroy())
  return { ...database, db }
}

const ROWS = [
  'SELECT app, name FROM django_migrations ORDER BY app, name',
  // Django numbers the models of an application in an order of chance.
  'SELECT app_label, model FROM django_content_type ORDER BY app_label, model',
  `SELECT app_label, model, name, codename FROM auth_permission
    JOIN django_content_type ON django_content_type.id = content_type_id ORDER BY app_label, model, codename`,
]

/** Every table with its columns, indexes and constraints, as the server describes them, in an order of its own. */
async function describe({ url, kind }: TestDatabase): Promise<string[]> {
  if (kind === 'mysql') {
    const tables = (await runSql(url, 'SHOW TABLES')).map((row) => String(Object.values(row)[0]))
    const lines = tables.map(async (table) => {
      const [created] = await runSql(url, `SHOW CREATE TABLE ${table}`)
      const text = String(created?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, '')
      return text.split('\n').map((line) => `${table} ${line.replace(/,$/, '')}`)
    })
    return (await Promise.all(lines)).flat().toSorted()
  }
  const rows = await Promise.all(DESCRIBE[kind].map((sql) => runSql(url, sql)))
  return rows
    .flat()
    .map((row) => Object.values(row).join(' '))
    .toSorted()
}

const DESCRIBE: Readonly<Record<'postgresql' | 'sqlite', readonly string[]>> = {
  sqlite: ["SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"],
  postgresql: [
    `SELECT table_name, row_number() OVER (PARTITION BY table_name ORDER BY ordinal_position), column_name, data_type, character_maximum_length, is_nullable, column_default,
      is_identity, identity_generation FROM information_schema.columns WHERE table_schema = 'public'`,
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    `SELECT conrelid::regclass AS of, conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace`,
    "SELECT sequencename, data_type, start_value, increment_by, max_value FROM pg_sequences WHERE schemaname = 'public'",
  ],
}
