import test from 'ava'
import type { Scope } from '../support/file-scope.ts'
import { startLibrary } from '../support/library.ts'

/** What a proxy that ends TLS says of a visitor's request. */
const FORWARDED = {
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'library.example.com',
  'X-Forwarded-For': '203.0.113.7',
}

test('behind a trusted proxy that ends TLS the session cookie is written, with Secure', async (t) => {
  const answer = await get(t, { trustedProxy: true })
  t.is(answer.status, 200)
  t.regex(answer.headers.get('Set-Cookie') ?? '', /^sessionid=[a-z0-9]{32};.*; Secure$/)
})

// As Django does: SESSION_COOKIE_SECURE is what the operator says, whatever the request came by.
test('SESSION_COOKIE_SECURE does not need to know of the proxy', async (t) => {
  const answer = await get(t, { trustedProxy: false, allowedHosts: ['127.0.0.1'] })
  t.regex(answer.headers.get('Set-Cookie') ?? '', /; Secure$/)
})

test('what a visitor forwards is believed only behind a trusted proxy', async (t) => {
  const host = { 'X-Forwarded-Host': 'evil.example.net' }
  t.is((await get(t, { trustedProxy: true }, host)).status, 400)
  t.is((await get(t, { trustedProxy: false, allowedHosts: ['127.0.0.1'] }, host)).status, 200)
})

interface Options {
  readonly trustedProxy: boolean
  readonly allowedHosts?: readonly string[]
}

async function get(
  t: Scope,
  { allowedHosts = ['library.example.com'], ...options }: Options,
  headers: Readonly<Record<string, string>> = FORWARDED,
): Promise<Response> {
  const { url } = await startLibrary(t, {
    session: { cookie: { secure: true } },
    app: () => ({ ...options, allowedHosts }),
  })
  return fetch(`${url}/catalog/`, { headers })
}
