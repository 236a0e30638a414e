import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runScript, testDatabases } from '../../support/databases.ts'
import { djangoShell, djangoVersions } from '../../support/django.ts'
import { startMariadb, startMysql } from '../../support/servers.ts'
import { examined, firstProblem, problemsIn, secretKey, siteEnvironment } from './examined.ts'

const starts = { mariadb: startMariadb, mysql: startMysql } as const
const mysqls = (['mariadb', 'mysql'] as const).filter((name) => testDatabases.includes(name))

/** LocalLibrary on a server of its own, since these settings are the server's. */
async function startSite(t: ExecutionContext, name: 'mariadb' | 'mysql', extraArguments: readonly string[]) {
  const server = await starts[name]({ extraArguments })
  t.teardown(() => server.stop())
  await runScript(server.url, 'CREATE DATABASE site')
  const url = `${server.url}/site`
  const schema = new URL(`../../support/schema/${name}.sql`, import.meta.url)
  await runScript(url, readFileSync(schema, 'utf8'))
  return { url, run: (sql: string) => runScript(url, sql) }
}

for (const name of mysqls)
  test.serial(`settings of ${name} that lose sessions, or refuse them, are named first`, async (t) => {
    t.timeout(120_000)
    const { url, run } = await startSite(t, name, ['--log-bin', '--server-id=1', '--binlog-format=ROW'])
    const found = () => examined(siteEnvironment(url)).then(firstProblem)
    t.is(await found(), '')

    await run("SET GLOBAL sql_mode = 'NO_ENGINE_SUBSTITUTION'")
    const strict = await found()
    t.regex(strict, /^database\.W005: sql_mode is NO_ENGINE_SUBSTITUTION; run SET GLOBAL sql_mode = /)
    await run(/run (SET GLOBAL .*?'\))/.exec(strict)?.[1] ?? '')
    t.is(await found(), '')

    await run('SET GLOBAL max_allowed_packet = 65536')
    const packet = await found()
    t.regex(packet, /^database\.W006: 65536 bytes; .*; run SET GLOBAL max_allowed_packet = 67108864, /)
    await run('SET GLOBAL max_allowed_packet = 2097152')
    t.is(await found(), '')
    const large = 'x'.repeat(1_500_000)
    await run(`INSERT INTO django_session VALUES ('${'a'.repeat(32)}', '${large}', '2100-01-01 00:00:00')`)
    t.regex(await found(), /^database\.W006: 2097152 bytes; the largest of the newest sessions has 1500000; /)
    await run('DELETE FROM django_session; SET GLOBAL max_allowed_packet = 67108864')

    await run("SET GLOBAL binlog_format = 'STATEMENT'")
    t.regex(
      await found(),
      /^database\.W007: binlog_format is STATEMENT, .*; set binlog_format to ROW or MIXED/,
    )
    // As at the Django site.
    const repeatable = siteEnvironment(`${url}?isolation_level=repeatable%20read`)
    t.deepEqual(problemsIn(await examined(repeatable)), [])
    t.regex(
      await examined(siteEnvironment(`${url}?isolation_level=read%20committed`)).then(firstProblem),
      /^database\.E001: .*binlog_format is STATEMENT/,
    )
    for (const version of djangoVersions)
      t.regex(await savedBy(version, url), /\b1665\b/, `Django ${version} cannot save there`)
    await run("SET GLOBAL binlog_format = 'ROW'")

    await run('SET GLOBAL read_only = 1; CREATE USER site@127.0.0.1; GRANT ALL ON site.* TO site@127.0.0.1')
    t.regex(
      await examined(siteEnvironment(url.replace('root@', 'site@'))).then(firstProblem),
      /^database\.E007: DATABASE_URL: .* is read-only, but sessions are written; /,
    )
  })

/** What a save of a session by real Django raises. */
function savedBy(version: string, url: string): Promise<string> {
  return djangoShell(version, {
    env: { SECRET_KEY: secretKey, DATABASE_URL: url },
    script: `
from django.contrib.sessions.backends.db import SessionStore
one = SessionStore()
one['a'] = 1
try:
    one.save()
    print('saved')
except Exception as error:
    print(repr(error))
`,
  })
}

if (mysqls.includes('mariadb'))
  test.serial('a server that is too old for this Django is named first', async (t) => {
    t.timeout(120_000)
    // The server says that it is older than it is.
    const { url } = await startSite(t, 'mariadb', ['--version=10.4.34-MariaDB'])
    for (const version of djangoVersions) {
      const found = firstProblem(await examined(siteEnvironment(url, { DJANGO_VERSION: version })))
      const said = await savedBy(version, url).catch((error: unknown) => String(error))
      const [, oldest] = /MariaDB ([\d.]+) or later is required/.exec(said) ?? []
      if (oldest === undefined) {
        t.is(found, '', version)
        t.is(said.trim(), 'saved')
      } else
        t.regex(
          found,
          new RegExp(
            `^database\\.E009: Django ${version} does not connect to MariaDB 10\\.4\\.34-MariaDB, but only to ${oldest}`,
          ),
        )
    }
  })

for (const name of testDatabases.filter((one) => one !== 'sqlite'))
  test.serial(`a clock that is wrong is named first, on ${name}`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    const now = () => new Date(Date.now() + 3_600_000)
    t.regex(
      firstProblem(await examined(siteEnvironment(url), { now })),
      /^database\.W008: the database is 3(?:599|600) s behind; set the clock /,
    )
  })
