import test from 'ava'
import type { Knex } from 'knex'
import { createCatalog } from '../../../src/service/pages/catalog.ts'
import { sessionLookup, startLibrary } from '../../support/library.ts'

test('a request is one event: method, path without query, status, duration and outcome of the session', async (t) => {
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

test('the event has the outcome of the session', async (t) => {
  const session_key = 'abcdefghijklmnopqrstuvwxyz012345'
  const headers = { Cookie: `sessionid=${session_key}` }
  const outcomes: Record<string, unknown> = {}
  const library = await startLibrary(t, {
    app: (db) => ({
      catalog: {
        async counts() {
          await sessionLookup(db)
          await meanwhile(db)
          return createCatalog({ db }).counts()
        },
      },
    }),
  })
  const { url, db, log, codec } = library
  let meanwhile: (db: Knex) => Promise<unknown> = async () => {}
  const visit = async (name: string, ...request: Parameters<typeof fetch>) => {
    await (await fetch(...request)).text()
    const fields = await log.next('http.request')
    outcomes[name] = fields.session
    log.events.length = 0
  }
  const store = async (session_data: string) => {
    await db('django_session').delete()
    await db('django_session').insert({ session_key, session_data, expire_date: '2999-01-01 00:00:00' })
  }
  const stored = (text: string) => store(codec.encode(new Map([['num_visits', text]])))

  await visit('a page without a session', `${url}/health/live`)
  await visit('a page that does not read it', `${url}/catalog`, { headers, redirect: 'manual' })
  await visit('an unknown key', `${url}/catalog/`, { headers })
  await stored('1')
  await visit('a known key', `${url}/catalog/`, { headers })
  meanwhile = () => stored('5')
  await visit('a session that another request saved meanwhile', `${url}/catalog/`, { headers })
  meanwhile = () => db('django_session').delete()
  await stored('1')
  await visit('a session that another request deleted meanwhile', `${url}/catalog/`, { headers })
  meanwhile = async () => {}
  await store('broken')
  await visit('a row that does not verify', `${url}/catalog/`, { headers })
  await stored('1')
  meanwhile = () => Promise.reject(new Error('the counts are not available'))
  await visit('a page that fails', `${url}/catalog/`, { headers })

  t.deepEqual(outcomes, {
    'a page without a session': undefined,
    'a page that does not read it': 'none',
    'an unknown key': 'new',
    'a known key': 'saved',
    'a session that another request saved meanwhile': 'merged',
    'a session that another request deleted meanwhile': 'interrupted',
    'a row that does not verify': 'unreadable',
    'a page that fails': 'loaded',
  })
})

test('a health probe is logged at the level debug', async (t) => {
  const { url, log } = await startLibrary(t)
  await fetch(`${url}/health/live`)
  await log.next('http.request')
  t.deepEqual(
    log.events.map(({ level, fields }) => [level, fields.path, fields.session]),
    [['debug', '/health/live', undefined]],
  )
})

test('the request id of a proxy is kept and sent back', async (t) => {
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

test('a visitor who disconnects before the answer is logged as aborted', async (t) => {
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
