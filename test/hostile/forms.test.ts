import { once } from 'node:events'
import { connect } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { secretKey, takeTurn } from '../interop/sites.ts'
import { startLoginSite } from '../service/pages/login-site.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'

const NEWEST = djangoVersions.at(-1) ?? ''
const LARGEST = 2_621_440
const filled = (unit: string, size = LARGEST) => unit.repeat(Math.floor(size / unit.length))
const part = (parameters: string, boundary = 'b') =>
  `--${boundary}\r\nContent-Disposition: form-data; ${parameters}\r\n\r\n1\r\n`
const long = 'b'.repeat(201)

/** Forms that are slow to parse if parts are not counted first, and Django's status: 403 means a form without a token. */
const forms: readonly [name: string, type: string, body: string, status: number][] = [
  ['pairs without a value', 'application/x-www-form-urlencoded', filled('a&'), 400],
  ['pairs', 'application/x-www-form-urlencoded', filled('a=1&'), 400],
  ['nothing but separators', 'application/x-www-form-urlencoded', filled('&'), 400],
  ['999 pairs of 2.6 kB', 'application/x-www-form-urlencoded', filled(`${'%41'.repeat(870)}&`), 400],
  ['one long name', 'application/x-www-form-urlencoded', filled('%41'), 403],
  ['one long value of pluses', 'application/x-www-form-urlencoded', `a=${filled('+', LARGEST - 2)}`, 403],
  ['more bytes than the limit', 'application/x-www-form-urlencoded', filled('a=1&', LARGEST + 4), 400],
  ['many fields', 'multipart/form-data; boundary=b', filled(part('name=a')), 400],
  ['many files', 'multipart/form-data; boundary=b', filled(part('name=a; filename=f')), 400],
  ['many files without a name', 'multipart/form-data; boundary=b', filled(part('filename=f')), 400],
  ['many parts without headers', 'multipart/form-data; boundary=b', filled('--b\r\n\r\n'), 400],
  ['nothing but boundaries', 'multipart/form-data; boundary=b', filled('--b'), 400],
  ['no boundary', 'multipart/form-data; boundary=b', filled('-'), 400],
  ['a long boundary that nearly matches', `multipart/form-data; boundary=${long}`, filled(`-${long}`), 400],
  ['a part with many headers', 'multipart/form-data; boundary=b', `--b\r\n${filled('a: b\r\n')}`, 400],
  ['a part with a long header', 'multipart/form-data; boundary=b', `--b\r\na: ${filled('b;c="')}`, 400],
  ['one long field', 'multipart/form-data; boundary=b', `${part('name=a')}${filled('\r\n', 2_600_000)}`, 403],
  ['a Content-Type of many parameters', `multipart/form-data;${filled('a="\\', 9000)}; boundary=b`, '', 403],
]

for (const [name, type, body, status] of forms) {
  test(`a form of ${name} does not block other requests`, async (t) => {
    const { url, log } = await startLoginSite(t)
    const answer = post(t, `${url}/accounts/login/`, type, body)
    await answer.sent
    const live = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(10_000) })
    t.is(live.status, 200)
    t.is(await answer.status, status)
    t.deepEqual(
      log.events.filter(({ level }) => level === 'error'),
      [],
    )
  })
}

test(`Django ${NEWEST} answers these forms with the same status`, async (t) => {
  await takeTurn(t)
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const { url } = await startDjango(t, { version: NEWEST, secretKey, databaseUrl })
  for (const [name, type, body, status] of forms) {
    // Unlike Django, which does not count a file without a field name.
    if (name === 'many files without a name') continue
    t.is(await post(t, `${url}/_test/form`, type, body).status, status, name)
  }
})

/** Sends a form with a token that the client chose, without waiting for the answer. */
function post(
  t: ExecutionContext,
  address: string,
  type: string,
  body: string,
): { sent: Promise<unknown>; status: Promise<number> } {
  const { host, hostname, pathname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => {}) // the server may close the connection before it has read everything
  const closed = once(socket, 'close')
  const head = `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nCookie: csrftoken=${'a'.repeat(32)}\r\n`
  socket.write(`${head}Content-Type: ${type}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`)
  const written = new Promise((resolve) => socket.write(body, 'latin1', resolve))
  return {
    sent: Promise.race([written, closed]),
    status: closed.then(() =>
      Number(/^HTTP\/1\.[01] (\d+)/.exec(Buffer.concat(chunks).toString('latin1'))?.[1]),
    ),
  }
}
