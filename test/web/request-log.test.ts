import test from 'ava'
import { startLibrary } from '../support/library.ts'

test('a request is one event: method, path without query, status, time and what became of the session', async (t) => {
  const { url, log } = await startLibrary(t)
  const response = await fetch(`${url}/catalog/?token=secret`, {
    headers: { Cookie: 'sessionid=secretsecret' },
  })
  const fields = await log.next('http.request')
  t.like(fields, { method: 'GET', path: '/catalog/', status: 200, session: 'new' })
  t.is(typeof fields.durationMs, 'number')
  t.is(fields.requestId, response.headers.get('X-Request-Id'))
  t.false(JSON.stringify(log.events).includes('secret'))
  t.is(log.events.length, 1)
})

test('a probe of health is logged for debugging alone', async (t) => {
  const { url, log } = await startLibrary(t)
  await fetch(`${url}/health/live`)
  await log.next('http.request')
  t.deepEqual(
    log.events.map(({ level, fields }) => [level, fields.path, fields.session]),
    [['debug', '/health/live', undefined]],
  )
})

test('a request id that a proxy gave is kept and sent back', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/catalog/`, { headers: { 'X-Request-Id': 'edge-1.a_B' } })
  t.is(response.headers.get('X-Request-Id'), 'edge-1.a_B')
})

for (const id of ['', 'two words', '<script>', '{"a":1}', 'x'.repeat(129)]) {
  test(`a request id of ${id.length} characters like ${JSON.stringify(id.slice(0, 9))} is replaced`, async (t) => {
    const { url } = await startLibrary(t)
    const response = await fetch(`${url}/catalog/`, { headers: { 'X-Request-Id': id } })
    t.regex(response.headers.get('X-Request-Id') ?? '', /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  })
}

test('a visitor who leaves before the answer is logged as such', async (t) => {
  const leave = new AbortController()
  const { url, log } = await startLibrary(t, {
    app: () => ({
      catalog: {
        counts: () => {
          leave.abort()
          return new Promise(() => {})
        },
      },
    }),
  })
  await t.throwsAsync(fetch(`${url}/catalog/`, { signal: leave.signal }), { name: 'AbortError' })
  t.like(await log.next('http.request'), { path: '/catalog/', aborted: true })
})
