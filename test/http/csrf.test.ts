import test from 'ava'
import { versionProfile } from '../../src/django/versions.ts'
import { type CsrfRequest, createCsrfRequests } from '../../src/http/csrf.ts'
import { NO_HEADERS } from '../../src/http/response-headers.ts'

const profile = versionProfile('5.2')
const now = () => new Date('2026-01-01T00:00:00Z')

function request(given: Partial<CsrfRequest> = {}, headers: Record<string, string> = {}): CsrfRequest {
  return {
    method: 'GET',
    isSecure: false,
    host: 'library.example.com',
    header: (name) => headers[name],
    readField: async () => undefined,
    session: null,
    ...given,
  }
}

test('a token sets the cookie, and verifies as a field and as a header of the next request', async (t) => {
  const requests = createCsrfRequests({ profile, now })
  const first = await requests.open(request())
  const token = first.csrf.getToken()
  const { setCookie, vary } = await first.respond()
  t.regex(setCookie ?? '', /^csrftoken=\w{32}; expires=.*; Max-Age=31449600; Path=\/; SameSite=Lax$/)
  t.is(vary?.('Accept-Language'), 'Accept-Language, Cookie')

  const cookie = setCookie?.split(';')[0] ?? ''
  const asField = request({ method: 'POST', readField: async () => token }, { cookie })
  await t.notThrowsAsync((await requests.open(asField)).csrf.check())
  const asHeader = request({ method: 'DELETE' }, { cookie, 'x-csrftoken': token })
  await t.notThrowsAsync((await requests.open(asHeader)).csrf.check())
})

test('a request whose token was not used gets no headers', async (t) => {
  const opened = await createCsrfRequests({ profile }).open(request())
  await opened.csrf.check()
  t.deepEqual(await opened.respond(), NO_HEADERS)
})

test("a forged request is refused with the status 403 and Django's reason, and its body is not read", async (t) => {
  const readField = () => t.fail() as never
  const requests = createCsrfRequests({ profile })
  const foreign = await requests.open(request({ method: 'POST', readField }, { origin: 'https://evil.org' }))
  const reason = 'Origin checking failed - https://evil.org does not match any trusted origins.'
  t.like(await foreign.csrf.check().catch((error: unknown) => error), {
    code: 'ERR_CSRF',
    status: 403,
    reason,
  })

  const bare = await requests.open(request({ method: 'POST', readField }))
  t.like(await bare.csrf.check().catch((error: unknown) => error), { reason: 'CSRF cookie not set.' })
})

test('with CSRF_USE_SESSIONS a request needs its session', async (t) => {
  const requests = createCsrfRequests({ profile, useSessions: true })
  await t.throwsAsync(requests.open(request()), { instanceOf: TypeError, message: /needs sessions/ })
})
