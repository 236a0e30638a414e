import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createSessionCodec } from '../src/django/session-data.ts'
import { versionProfile } from '../src/django/versions.ts'
import { createVisitor } from './interop/visitor.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from './support/databases.ts'
import { execute } from './support/executables.ts'
import { projectFolder } from './support/places.ts'
import { startService } from './support/service.ts'

const database = testDatabases.includes('postgresql') ? 'postgresql' : 'sqlite'

const secrets = {
  key: 'KEY-OF-THE-AUDIT-0123456789',
  fallback: 'FALLBACK-OF-THE-AUDIT-0123456789',
  /** The PostgreSQL of the tests requires no password. */
  password: 'PASSWORD-OF-THE-AUDIT',
  data: 'DATA-OF-THE-AUDIT',
  token: 'TOKEN-OF-THE-AUDIT',
}

for (const level of ['info', 'debug', 'trace']) {
  test(`at LOG_LEVEL=${level} no output contains a key, a cookie, session data or a password`, async (t) => {
    const { url } = await createTestDatabase(t, database, { tables: 'library' })
    const service = await startService(t, {
      env: {
        DATABASE_URL: url.replace('postgres@', `postgres:${secrets.password}@`),
        DJANGO_SECRET_KEY: secrets.key,
        DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([secrets.fallback]),
        DJANGO_VERSION: '6.1',
        LOG_LEVEL: level,
      },
    })
    const printed: string[] = []
    const visitor = createVisitor()
    const sessionKeys = new Set<string>()
    const rows = new Set<string>()
    const open = async (path: string, init?: RequestInit): Promise<number> => {
      const response = await visitor.fetch(`${service.url}${path}`, init)
      await response.text()
      sessionKeys.add(visitor.cookie() ?? 'x'.repeat(32))
      for (const row of await runSql(url, 'SELECT session_data FROM django_session').catch(() => []))
        rows.add(String(row.session_data))
      return response.status
    }

    // Visits with old and new sessions, one that does not verify, and one that does not exist.
    t.is(await open('/catalog/'), 200)
    const codec = createSessionCodec({
      secretKeys: [secrets.fallback],
      profile: versionProfile('6.1'),
      now: () => new Date(),
    })
    const sessionData = codec.encode(new Map([['note', JSON.stringify(secrets.data)]]))
    const put = `UPDATE django_session SET session_data = '${sessionData}'`
    await runSql(url, put)
    t.is(await open('/catalog/'), 200)
    t.is(await open(`/catalog/?token=${secrets.token}`), 200)
    await runSql(url, "UPDATE django_session SET session_data = 'not:1:verified'")
    t.is(await open('/catalog/'), 200)
    visitor.setCookie('k'.repeat(32))
    sessionKeys.add('k'.repeat(32))
    const headers = {
      authorization: `Bearer ${secrets.token}`,
      'x-request-id': '1',
      referer: `/${secrets.token}`,
    }
    t.is(await open('/catalog/', { headers }), 200)
    t.is(await open(`/nowhere?token=${secrets.token}`, { method: 'POST', body: secrets.data, headers }), 404)
    t.is(await open('/health/ready'), 200)

    // Failures whose messages, in the drivers and in Knex, quote the row or the statement with its values.
    if (database === 'postgresql') {
      await runSql(url, 'ALTER TABLE django_session ADD CHECK (length(session_data) < 5) NOT VALID')
      t.is(await open('/catalog/'), 500)
    }
    await runScript(url, 'ALTER TABLE django_session RENAME COLUMN session_data TO renamed')
    t.is(await open('/catalog/'), 500)
    await runScript(url, 'DROP TABLE django_session')
    t.is(await open('/catalog/'), 500)
    if (database === 'postgresql') {
      await runScript(
        url,
        'CREATE TABLE django_session (session_key int, session_data text, expire_date timestamptz)',
      )
      t.is(await open('/catalog/'), 500)
    }

    const { url: metricsUrl } = await service.next('metrics.listening')
    printed.push(await (await fetch(String(metricsUrl))).text())
    t.is(await service.stop(), 0)
    printed.push(service.stdout(), service.stderr())

    t.true(service.log().filter(({ event }) => event === 'http.request').length >= 9)
    t.true(service.log().some(({ event }) => event === 'session.unreadable'))
    t.true(service.log().some(({ event }) => event === 'http.failure'))
    t.true(rows.size > 3 && sessionKeys.size > 2)
    // Not even a part that is long enough to be searched for.
    const forbidden = [
      ...Object.values(secrets),
      ...sessionKeys,
      ...[...rows].flatMap((row) => row.split(':')),
    ]
    for (const text of forbidden.filter(({ length }) => length >= 12))
      for (const output of printed) t.false(output.includes(text.slice(0, 16)), text)
  })
}

test('no file tracked by git, except tests, contains a secret', async (t) => {
  const { stdout } = await execute('git', ['ls-files', '-z'], { cwd: projectFolder })
  const files = stdout
    .split('\0')
    .filter((name) => /^(?!test\/).*\.(?:ts|py|mjs|json|html|yml|md|example)$|^\.ci\//.test(name))
  t.true(
    files.includes('src/service/settings/settings.ts') && files.includes('.env.example') && files.length > 40,
  )
  const found = files.flatMap((name) =>
    [...readFileSync(join(projectFolder, name), 'utf8').matchAll(GIVEN_SECRET)].map(
      ([text]) => `${name}: ${text}`,
    ),
  )
  t.deepEqual(found, [])
})

/** `secretKey = '…'`, `SECRET_KEY=…`, and the beginnings of startproject's keys and of key files. */
const GIVEN_SECRET =
  /secret_?keys?\s*[:=]\s*\[?\s*['"`][\w-]{8,}|SECRET_KEY\s*=\s*[\w-]{8,}|django-insecure-|BEGIN [A-Z ]*PRIVATE KEY/gi
