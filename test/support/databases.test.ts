import test from 'ava'
import { createTestDatabase, runSql, testDatabases } from './databases.ts'
import { inCi } from './places.ts'

const versions = {
  mariadb: { sql: 'SELECT VERSION() AS version', text: /^\d+\.\d+\.\d+-MariaDB/ },
  mysql: { sql: 'SELECT VERSION() AS version', text: /^(8|9)\.\d+\.\d+(?!.*MariaDB)/ },
  postgresql: { sql: 'SELECT VERSION() AS version', text: /^PostgreSQL \d+/ },
  sqlite: { sql: 'SELECT SQLITE_VERSION() AS version', text: /^3\.\d+\.\d+$/ },
}

for (const name of testDatabases) {
  test(`${name} is what it is called`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'none' })
    const [row] = await runSql(url, versions[name].sql)
    t.regex(String(row?.version), versions[name].text)
  })

  test(`${name} starts with the tables that were asked for`, async (t) => {
    const count = async (url: string, table: string) => (await runSql(url, `SELECT * FROM ${table}`)).length
    const sessions = await createTestDatabase(t, name)
    t.is(await count(sessions.url, 'django_session'), 0)
    t.true((await count(sessions.url, 'django_migrations')) > 18)
    await t.throwsAsync(count(sessions.url, 'catalog_book'))

    const library = await createTestDatabase(t, name, { tables: 'library' })
    t.is(await count(library.url, 'django_session'), 0)
    t.is(await count(library.url, 'catalog_bookinstance'), 0)
    t.is(
      (await runSql(library.url, "SELECT 1 FROM auth_permission WHERE codename = 'can_mark_returned'"))
        .length,
      1,
    )
  })
}

test('two tests never share a database', async (t) => {
  for (const name of testDatabases) {
    const [one, two] = [await createTestDatabase(t, name), await createTestDatabase(t, name)]
    t.not(one.url, two.url)
  }
})

test('a MySQL-protocol server is always among the databases', (t) => {
  t.true(testDatabases.includes('mariadb') || testDatabases.includes('mysql'))
  if (inCi) t.true(testDatabases.includes('mariadb') && testDatabases.includes('postgresql'))
})
