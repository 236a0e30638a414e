import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runScript, runSql, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import { runCommand, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment } from './sites.ts'
import { createVisitor } from './visitor.ts'

const [version = ''] = djangoVersions.slice(-1)

/** LocalLibrary's tables in the schema `site`, after an empty schema in the search path. */
async function createSiteSchema(t: ExecutionContext): Promise<{ url: string; name: string }> {
  const { url } = await createTestDatabase(t, 'postgresql', { tables: 'library' })
  const name = new URL(url).pathname.slice(1)
  await runScript(url, 'ALTER SCHEMA public RENAME TO site; CREATE SCHEMA first; CREATE SCHEMA public')
  return { url, name }
}

if (testDatabases.includes('postgresql')) {
  test('tables in a later schema of the search path are found, as in Django', async (t) => {
    const { url, name } = await createSiteSchema(t)
    await runSql(url, `ALTER DATABASE ${name} SET search_path = first, site`)
    const django = await startDjango(t, { version, secretKey, databaseUrl: url })
    const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl: url }) })
    const visitor = createVisitor()
    t.is(await visitor.visit(django.url), 1)
    t.is(await visitor.visit(ours.url), 2)
    t.is(await visitor.visit(django.url), 3)
  })

  for (const option of [
    'currentSchema=first,site',
    `options=${encodeURIComponent('-c search_path=first,site')}`,
  ]) {
    test(`tables in a later schema are found with ${option} in the URL`, async (t) => {
      const { url } = await createSiteSchema(t)
      const databaseUrl = `${url}?${option}`
      const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl }) })
      t.is(await createVisitor().visit(ours.url), 1)
      t.is((await runSql(url, 'SELECT session_key FROM site.django_session')).length, 1)
    })
  }

  test('tables outside the search path are reported as missing', async (t) => {
    const { url } = await createSiteSchema(t)
    const env = { ...serviceEnvironment({ version, databaseUrl: url }), PORT: '0', METRICS_PORT: '0' }
    const { status, stderr } = await runCommand(t, ['serve'], { env })
    t.is(status, 1)
    t.regex(stderr, /^MissingTables: .*no tables .*django_session/)
  })

  test('rows are written with the role that the URL assumes', async (t) => {
    const { url, name } = await createSiteSchema(t)
    const role = `owner_${name}`
    await runScript(url, `CREATE ROLE ${role}; ALTER DATABASE ${name} SET search_path = site`)
    t.teardown(() => runScript(url, `DROP OWNED BY ${role}; DROP ROLE ${role}`))
    const databaseUrl = `${url}?assume_role=${role}`
    const env = { ...serviceEnvironment({ version, databaseUrl }), PORT: '0', METRICS_PORT: '0' }
    const refused = await runCommand(t, ['serve'], { env })
    t.is(refused.status, 1)
    await runScript(
      url,
      `GRANT USAGE ON SCHEMA site TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA site TO ${role}`,
    )
    const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl }) })
    t.is(await createVisitor().visit(ours.url), 1)
  })
}

for (const name of testDatabases.filter((each) => each === 'mariadb' || each === 'mysql')) {
  test(`on ${name} a view is used like a table, as in Django`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    await runScript(url, 'RENAME TABLE django_session TO kept_elsewhere')
    await runScript(url, 'CREATE VIEW django_session AS SELECT * FROM kept_elsewhere')
    const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl: url }) })
    t.is(await createVisitor().visit(ours.url), 1)
    t.is((await runSql(url, 'SELECT session_key FROM kept_elsewhere')).length, 1)
  })
}
