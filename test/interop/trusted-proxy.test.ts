import test from 'ava'
import { sendRaw } from '../service/proxy/behind.ts'
import { createTestDatabase } from '../support/databases.ts'
import { startDjango, startGunicorn } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'

/** Django's redirect shows which host and scheme it received. */
const REDIRECTING = { SECURE_SSL_REDIRECT: 'true' }

const SECURE = '302 /admin/login/?next=/admin/'

for (const [line, answer] of [
  ['X-Forwarded-Ssl: on', SECURE],
  ['X-Forwarded-Protocol: ssl', SECURE],
  ['X-Forwarded-Proto: https', SECURE],
  ['X-Forwarded-Proto: http, https', SECURE],
  ['X-Forwarded-Ssl: off', '301 https://library.example.com/admin/'],
  ['X-Forwarded-Protocol: http', '301 https://library.example.com/admin/'],
  ['X-Forwarded-Scheme: https', '301 https://library.example.com/admin/'],
  ['Front-End-Https: on', '301 https://library.example.com/admin/'],
  ['Via: nothing of the scheme', '301 https://library.example.com/admin/'],
] as const) {
  test(`gunicorn trusts a proxy in front of ours that sends ${line}, as without ours`, async (t) => {
    t.timeout(110_000)
    await takeTurn(t)
    const { url } = await startInFront(t, 'gunicorn', { TRUSTED_PROXY: 'True' })
    t.is(await ask(url, ['Host: library.example.com', line]), answer)
  })
}

test('a proxy in front of ours can send the scheme in any header that Django is configured for', async (t) => {
  t.timeout(110_000)
  await takeTurn(t)
  const settings = { ...REDIRECTING, SECURE_PROXY_SSL_HEADER: '["HTTP_FRONT_END_HTTPS", "on"]' }
  const lines = ['Host: library.example.com', 'Front-End-Https: on']
  const trusting = await startInFront(t, '4.2', { TRUSTED_PROXY: 'proto' }, settings)
  t.is(await ask(trusting.url, lines), SECURE)
  const strict = await startInFront(t, '4.2', { TRUSTED_PROXY: 'host,for' }, settings)
  t.is(await ask(strict.url, lines), '301 https://library.example.com/admin/')
})

for (const version of ['2.2', '6.1']) {
  test(`of two X-Forwarded-Host headers Django ${version} receives the last; it would reject both`, async (t) => {
    t.timeout(110_000)
    await takeTurn(t)
    const settings = {
      ...REDIRECTING,
      USE_X_FORWARDED_HOST: 'true',
      ALLOWED_HOSTS: '["library.example.com"]',
    }
    const { url, django } = await startInFront(
      t,
      version,
      { TRUSTED_PROXY: 'host', ALLOWED_HOSTS: 'library.example.com' },
      settings,
    )
    const both = (hosts: string) => ['Host: 127.0.0.1', `X-Forwarded-Host: ${hosts}`]
    t.regex(await ask(django, both('evil.example, library.example.com')), /^400/)
    t.regex(await ask(django, both('library.example.com, library.example.com')), /^400/)
    const to = '301 https://library.example.com/admin/'
    t.is(await ask(url, both('evil.example, library.example.com')), to)
    t.is(await ask(url, [...both('evil.example'), 'X-Forwarded-Host: library.example.com']), to)
    t.regex(await ask(url, both('library.example.com, evil.example')), /^400/)
  })
}

test('for HTTP/1.0 without a Host header, Django receives the address that the visitor connected to', async (t) => {
  t.timeout(110_000)
  await takeTurn(t)
  const { url } = await startInFront(t, 'gunicorn', {})
  t.is(await ask(url, [], '1.0'), `301 https://${new URL(url).host}/admin/`)
})

async function startInFront(
  t: Scope,
  server: string,
  env: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, string>> = REDIRECTING,
): Promise<{ url: string; django: string }> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const options = { secretKey, databaseUrl, settings }
  const version = server === 'gunicorn' ? '5.2' : server
  const { url: django } =
    server === 'gunicorn' ? await startGunicorn(t, options) : await startDjango(t, { version, ...options })
  const ours = { DJANGO_UPSTREAM: django, ALLOWED_HOSTS: 'library.example.com 127.0.0.1', ...env }
  const { url } = await startService(t, { env: serviceEnvironment({ version, databaseUrl, settings: ours }) })
  return { url, django }
}

/** The status and the redirect target. */
async function ask(site: string, lines: readonly string[], version = '1.1'): Promise<string> {
  const answer = await sendRaw(
    site,
    [`GET /admin/ HTTP/${version}`, ...lines, 'Connection: close', '', ''].join('\r\n'),
  )
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(answer) ?? []
  const [, location = ''] = /^location: (.*)\r$/im.exec(answer) ?? []
  return `${status} ${location}`
}
