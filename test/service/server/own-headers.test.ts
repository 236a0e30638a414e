import test from 'ava'
import { startLibrary } from '../../support/library.ts'

/** What a page and its session need; X-Powered-By, Server and obsolete security headers are not among them. */
const OF_EVERY_PAGE = new Set(
  'cache-control connection content-length content-type date keep-alive set-cookie vary x-request-id'.split(
    ' ',
  ),
)

for (const path of ['/catalog/', '/nothing', '/health/live']) {
  test(`${path} has the headers that Django sends and a policy without exceptions`, async (t) => {
    const { url } = await startLibrary(t)
    const { headers } = await fetch(`${url}${path}`)
    // Django's defaults: SECURE_CONTENT_TYPE_NOSNIFF, SECURE_REFERRER_POLICY, SECURE_CROSS_ORIGIN_OPENER_POLICY,
    // X_FRAME_OPTIONS.
    t.is(headers.get('X-Content-Type-Options'), 'nosniff')
    t.is(headers.get('Referrer-Policy'), 'same-origin')
    t.is(headers.get('Cross-Origin-Opener-Policy'), 'same-origin')
    t.is(headers.get('X-Frame-Options'), 'DENY')
    t.deepEqual(headers.get('Content-Security-Policy')?.split(';').sort(), [
      "base-uri 'none'",
      "default-src 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
      "img-src 'self'",
      "style-src 'self'",
    ])
    t.deepEqual(
      [...headers.keys()].filter((name) => !OF_EVERY_PAGE.has(name)),
      [
        'content-security-policy',
        'cross-origin-opener-policy',
        'cross-origin-resource-policy',
        'referrer-policy',
        'x-content-type-options',
        'x-frame-options',
      ],
    )
  })
}

const hsts = { maxAge: 3600, includeSubDomains: true, preload: false }
const https = { 'X-Forwarded-Proto': 'https' }

test('Strict-Transport-Security is sent only if configured, and only over HTTPS', async (t) => {
  const { url } = await startLibrary(t, { app: () => ({ hsts, trustedProxy: ['proto'] }) })
  const header = 'Strict-Transport-Security'
  t.is(
    (await fetch(`${url}/catalog/`, { headers: https })).headers.get(header),
    'max-age=3600; includeSubDomains',
  )
  t.is((await fetch(`${url}/catalog/`)).headers.get(header), null)
})

test('X-Forwarded-Proto counts only from a trusted proxy', async (t) => {
  const { url } = await startLibrary(t, { app: () => ({ hsts }) })
  t.is((await fetch(`${url}/catalog/`, { headers: https })).headers.get('Strict-Transport-Security'), null)
})

test('by default there is no Strict-Transport-Security, which would replace the header of Django', async (t) => {
  const { url } = await startLibrary(t, { app: () => ({ trustedProxy: ['proto'] }) })
  t.is((await fetch(`${url}/catalog/`, { headers: https })).headers.get('Strict-Transport-Security'), null)
})
