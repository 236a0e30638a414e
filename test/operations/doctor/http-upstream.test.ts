import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { secretKey, serviceEnvironment, takeTurn } from '../../interop/sites.ts'
import { makeCertificate } from '../../support/certificates.ts'
import { createTestDatabase, runSql, testDatabases } from '../../support/databases.ts'
import { djangoVersions, startDjango, startGunicorn } from '../../support/django.ts'
import type { Scope } from '../../support/file-scope.ts'
import { freePort } from '../../support/free-port.ts'
import { listen } from '../../support/library.ts'
import { startService, temporaryFolder } from '../../support/service.ts'
import { findingsOf, firstProblem, outcomesOf, plantedVersions } from './planted.ts'

async function environment(t: Scope, version = '5.2'): Promise<Record<string, string>> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  return serviceEnvironment({ version, databaseUrl })
}

const problemAt = async (env: Record<string, string>, upstream: string) =>
  firstProblem(await findingsOf({ ...env, DJANGO_UPSTREAM: upstream }, { tags: ['http'] }))

test('without DJANGO_UPSTREAM, what needs it is skipped', async (t) => {
  const findings = await findingsOf(await environment(t), { tags: ['http'] })
  t.is(firstProblem(findings), 'all is well')
  const e003 = findings.find(({ id }) => id === 'http.E003')
  t.deepEqual(e003?.result, { outcome: 'skipped', because: 'DJANGO_UPSTREAM is not set' })
})

test('named first: nothing listens at DJANGO_UPSTREAM, or its name does not resolve', async (t) => {
  const env = await environment(t)
  const url = `http://127.0.0.1:${await freePort()}`
  t.is(
    await problemAt(env, url),
    `http.E003 ${url} refuses connections: nothing listens there → set DJANGO_UPSTREAM to the address of Django, and start Django`,
  )
  t.regex(await problemAt(env, 'http://no-such-host.invalid'), /^http\.E003 \S+ does not resolve → /)
  t.regex(await problemAt(env, 'unix:/tmp/no-such-socket'), /^http\.E003 .* the socket does not exist → /)
})

test('named first: what listens at DJANGO_UPSTREAM does not speak HTTP, or closes at once', async (t) => {
  const env = await environment(t)
  for (const [greeting, found] of [
    ['SSH-2.0-OpenSSH_9.2\r\n', /^http\.E003 what listens at \S+ does not answer in HTTP → .*http-socket/],
    ['', /^http\.E003 \S+ closes the connection without an answer → /],
  ] as const) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(greeting))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    t.regex(await problemAt(env, `http://127.0.0.1:${port}`), found)
  }
})

test('named first: the upstream is silent for DJANGO_UPSTREAM_TIMEOUT', async (t) => {
  const url = await listen(t, () => {})
  t.regex(
    await problemAt({ ...(await environment(t)), DJANGO_UPSTREAM_TIMEOUT: '1' }, url),
    // On a busy machine connecting alone may take that long.
    /^http\.E003 \S+: no (?:answer came|connection was established) within 1000 ms → see whether Django hangs, and whether DJANGO_UPSTREAM is its address$/,
  )
})

test('named first: a proxy without Django behind it', async (t) => {
  const url = await listen(t, (_, response) => void response.writeHead(502).end('Bad Gateway'))
  t.regex(
    await problemAt(await environment(t), url),
    /^http\.E003 \S+ answers 502 on every page, so it is a proxy without a server behind it → start Django/,
  )
})

test('named first: DJANGO_UPSTREAM is another site', async (t) => {
  const url = await listen(t, (_, response) => {
    response.setHeader('Set-Cookie', 'id=0123456789abcdef0123456789abcdef; path=/')
    response.setHeader('Server', 'nginx')
    response.end('<h1>Welcome</h1>')
  })
  t.regex(
    await problemAt(await environment(t), url),
    /^http\.E007 nothing in the answers of \S+ to \/catalog\/, /,
  )
})

test('named first: DJANGO_UPSTREAM redirects to another host, which is not asked', async (t) => {
  let asked = 0
  const other = await listen(t, (_, response) => {
    asked += 1
    response.end()
  })
  const url = await listen(
    t,
    (request, response) => void response.writeHead(302, { Location: `${other}${request.url}` }).end(),
  )
  t.regex(
    await problemAt(await environment(t), url),
    new RegExp(`^http\\.E006 the server redirects every page to another host, ${new URL(other).host} → `),
  )
  t.is(asked, 0)
})

test('named first: DJANGO_UPSTREAM is this service itself, by another name', async (t) => {
  t.timeout(60_000)
  const env = await environment(t)
  const service = await startService(t, { env })
  t.regex(
    await problemAt(env, service.url.replace('127.0.0.1', 'localhost')),
    /^http\.E004 what answers at \S+ is this service .*, not Django → set DJANGO_UPSTREAM/,
  )
})

test('an answer is read up to a limit, and a redirect to itself is not followed for ever', async (t) => {
  const env = await environment(t)
  const endless = await listen(t, (request, response) => {
    if (request.url === '/health/live') return void response.writeHead(404).end()
    response.setHeader('Server', 'gunicorn')
    const more = () => {
      while (response.write('a'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  })
  t.is(await problemAt(env, endless), 'all is well')
  const circle = await listen(
    t,
    (request, response) => void response.writeHead(302, { Location: request.url ?? '/' }).end(),
  )
  t.regex(await problemAt(env, circle), /^http\.E006 Django redirects in a circle → /)
})

for (const version of plantedVersions) {
  test(`named first: DJANGO_UPSTREAM is another Django ${version}, with a database of its own`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const { url } = await startDjango(t, { version, secretKey: 'of another site', databaseUrl })
    t.regex(
      await problemAt(await environment(t, version), url),
      /^http\.E012 Django's new session is not in the table django_session, which is empty → Django uses another database/,
    )
  })
}

test('named first: the certificate of DJANGO_UPSTREAM is not trusted; with DJANGO_UPSTREAM_CA it is', async (t) => {
  const folder = temporaryFolder(t)
  await makeCertificate(folder)
  const read = (name: string) => readFileSync(join(folder, name))
  const server = createTlsServer({ key: read('server.key'), cert: read('server.crt') }, (_, response) => {
    response.setHeader('Server', 'gunicorn')
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const url = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const env = await environment(t)
  t.regex(await problemAt(env, url), /^http\.E003 .* certificate is refused.* → set DJANGO_UPSTREAM_CA/)
  t.is(await problemAt({ ...env, DJANGO_UPSTREAM_CA: join(folder, 'ca.crt') }, url), 'all is well')
})

test('a Unix socket is asked like an address, in the round trip too', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const version = plantedVersions.at(-1) ?? ''
  const django = await startDjango(t, { version, secretKey, databaseUrl })
  const path = join(temporaryFolder(t), 'django.sock')
  const server = createServer((request, response) => {
    const { method = 'GET', url = '/', headers } = request
    const outgoing = httpRequest(`${django.url}${url}`, { method, headers, agent: false }, (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, incoming.headers)
      incoming.pipe(response)
    })
    request.pipe(outgoing)
  }).listen(path)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const env = { ...serviceEnvironment({ version, databaseUrl }), DJANGO_UPSTREAM: `unix:${path}` }
  const roundTrip = { django: new URL(`unix:${path}`), here: new URL(`http://127.0.0.1:${await freePort()}`) }
  const findings = await findingsOf(env, { tags: ['http', 'roundtrip'], roundTrip })
  t.is(firstProblem(findings), 'all is well')
  t.deepEqual(
    outcomesOf(findings).filter((one) => one.endsWith('skipped')),
    ['roundtrip.W013 skipped'],
  )
})

if (djangoVersions.includes('5.2')) {
  test('behind gunicorn all is well', async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, testDatabases[0] ?? 'sqlite', {
      tables: 'library',
    })
    const { url } = await startGunicorn(t, { secretKey, databaseUrl })
    const env = { ...serviceEnvironment({ version: '5.2', databaseUrl }), DJANGO_UPSTREAM: url }
    const roundTrip = { django: new URL(url), here: new URL(`http://127.0.0.1:${await freePort()}`) }
    const findings = await findingsOf(env, { tags: ['http', 'roundtrip'], roundTrip })
    t.is(firstProblem(findings), 'all is well')
    t.deepEqual(
      outcomesOf(findings).filter((one) => !one.endsWith('ok')),
      ['roundtrip.W013 skipped'],
    )
    t.deepEqual(await runSql(databaseUrl, 'SELECT session_key FROM django_session'), [])
  })
}
