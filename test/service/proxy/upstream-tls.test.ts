import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { execute } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { runCommand, startService, temporaryFolder } from '../../support/service.ts'
import { openSocket } from './behind.ts'

/** Creates an authority for the test, and a certificate for this name that it signed. Returns their files. */
async function certify(t: Scope, name: string): Promise<{ ca: string; key: string; cert: string }> {
  const folder = temporaryFolder(t)
  const [ca, caKey, cert, key] = ['ca.pem', 'ca.key', 'cert.pem', 'cert.key'].map((file) =>
    join(folder, file),
  )
  if (!ca || !caKey || !cert || !key) throw new TypeError('four files')
  const make = (...args: string[]) =>
    execute('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      ...args,
    ])
  await make('-subj', '/CN=authority', '-keyout', caKey, '-out', ca)
  await make(
    '-subj',
    `/CN=${name}`,
    '-keyout',
    key,
    '-out',
    cert,
    '-CA',
    ca,
    '-CAkey',
    caKey,
    '-addext',
    `subjectAltName=DNS:${name}`,
  )
  return { ca, key, cert }
}

interface SecureBack {
  readonly url: string
  /** The requested names, by SNI. */
  readonly names: unknown[]
}

/** Answers requests, and accepts each WebSocket and sends `hello` on it. */
async function startSecure(t: Scope, { key, cert }: { key: string; cert: string }): Promise<SecureBack> {
  const names: unknown[] = []
  const server = createServer(
    { key: readFileSync(key), cert: readFileSync(cert) },
    async (request, response) => {
      response.end(`secure ${request.headers.host} ${await text(request)}`)
    },
  )
  server.on('secureConnection', ({ servername }) => names.push(servername))
  server.on('upgrade', (_, socket) => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, names }
}

const HANDSHAKE =
  'GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

async function askForWebSocket(url: string): Promise<string> {
  const socket = openSocket(url).on('error', () => {})
  socket.write(HANDSHAKE)
  return text(socket)
}

for (const variable of ['DJANGO_UPSTREAM_CA', 'NODE_EXTRA_CA_CERTS']) {
  test(`an upstream's certificate is checked against the upstream's name, with an authority of ${variable}`, async (t) => {
    const files = await certify(t, 'localhost')
    const back = await startSecure(t, files)
    const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url, [variable]: files.ca } })
    const host = new URL(service.url).host
    const body = 'x'.repeat(1_500_000)
    const response = await fetch(`${service.url}/x`, { method: 'POST', body })
    t.is(await response.text(), `secure ${host} ${body}`)
    t.regex(await askForWebSocket(service.url), /^HTTP\/1\.1 101 [\s\S]*hello$/)
    t.deepEqual(back.names, ['localhost', 'localhost'])
  })
}

test('connections with TLS are kept, too', async (t) => {
  const files = await certify(t, 'localhost')
  const back = await startSecure(t, files)
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_CA: files.ca } })
  for (let round = 0; round < 20; round += 1)
    t.is(await (await fetch(`${service.url}/x`)).text(), `secure ${new URL(service.url).host} `)
  t.true(back.names.length < 20, `${back.names.length} connections`)
})

test('an upstream with a certificate for another name or of an unknown authority is a 502, and the log says why', async (t) => {
  const [own, other] = await Promise.all([certify(t, 'localhost'), certify(t, 'other.example')])
  for (const [files, ca, why] of [
    [
      other,
      other.ca,
      /certificate is refused: Hostname\/IP does not match certificate's altnames: Host: localhost\. is not in the cert's altnames: DNS:other\.example/,
    ],
    [
      own,
      other.ca,
      /certificate is refused: unable to verify the first certificate|certificate is refused: unable to get local issuer certificate|certificate is refused: certificate signature failure/,
    ],
  ] as const) {
    const back = await startSecure(t, files)
    const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_CA: ca } })
    const response = await fetch(`${service.url}/x`, { headers: { Cookie: 'sessionid=secret' } })
    t.is(response.status, 502)
    t.notRegex(await response.text(), /certificate|altnames/)
    t.regex(String((await service.next('http.failure')).message), why)
    t.regex(await askForWebSocket(service.url), /^HTTP\/1\.1 502 Bad Gateway\r\n/)
    t.deepEqual(
      back.names.filter((name) => name !== 'localhost'),
      [],
    )
  }
})

test('an authority that cannot be read or is not used is reported as a problem of the settings', async (t) => {
  const folder = temporaryFolder(t)
  const { ca } = await certify(t, 'localhost')
  writeFileSync(join(folder, 'empty.pem'), 'no certificate')
  for (const [url, file, problem] of [
    [
      'https://localhost',
      join(folder, 'missing.pem'),
      /^SettingsError: DJANGO_UPSTREAM_CA ".*" cannot be read; set it to a PEM file/,
    ],
    [
      'https://localhost',
      join(folder, 'empty.pem'),
      /^SettingsError: DJANGO_UPSTREAM_CA ".*" holds no certificate; set it to a PEM file/,
    ],
    [
      'http://localhost:8000',
      ca,
      /^SettingsError: DJANGO_UPSTREAM_CA is set, but DJANGO_UPSTREAM is not https/,
    ],
  ] as const) {
    const { status, stderr } = await runCommand(t, ['serve'], {
      env: { DJANGO_UPSTREAM: url, DJANGO_UPSTREAM_CA: file },
    })
    t.is(status, 1)
    t.regex(stderr, problem)
  }
})
