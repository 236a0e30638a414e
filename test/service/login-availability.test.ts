import test, { type ExecutionContext } from 'ava'
import { listen } from '../support/library.ts'
import { type RunningService, startService } from '../support/service.ts'

const BACKENDS = 'django.contrib.auth.backends.'

const warningsOf = (service: RunningService): string[] =>
  service
    .log()
    .filter(({ event }) => event === 'settings.warning')
    .map(({ warning }) => String(warning))

const noLogin = (service: RunningService) =>
  warningsOf(service).filter((warning) =>
    warning.startsWith('the login and logout pages are not served here'),
  )

async function statusesOf(t: ExecutionContext, { url }: RunningService): Promise<number[]> {
  const statuses: number[] = []
  for (const [path, method] of [
    ['login/', 'GET'],
    ['login', 'GET'],
    ['login/', 'POST'],
    ['logout/', 'GET'],
    ['logout/', 'POST'],
  ] as const)
    statuses.push((await fetch(`${url}/accounts/${path}`, { method, redirect: 'manual' })).status)
  const home = await fetch(`${url}/catalog/`)
  t.is(home.status, 200)
  t.true((await home.text()).includes('/accounts/login/'), 'the link goes to the login page of Django')
  return statuses
}

for (const [name, env, reason] of [
  [
    'a backend of the site',
    { AUTHENTICATION_BACKENDS: 'accounts.EmailBackend' },
    /if Django uses .*ModelBackend, add it/,
  ],
  [
    'backends for a proxy that authenticates',
    {
      AUTHENTICATION_BACKENDS: `["${BACKENDS}RemoteUserBackend", "${BACKENDS}AllowAllUsersRemoteUserBackend"]`,
    },
    /no backend in AUTHENTICATION_BACKENDS accepts passwords here/,
  ],
  ['a session hash of the site', { AUTH_SESSION_HASH: 'custom' }, /AUTH_SESSION_HASH is custom/],
  ['no passwords', { AUTH_USER_PASSWORD_COLUMN: 'None' }, /the user model has no password field/],
] as const) {
  test(`with ${name} there is no login page, and the start says so`, async (t) => {
    const service = await startService(t, { env })
    t.deepEqual(await statusesOf(t, service), [404, 404, 404, 404, 404])
    t.is(noLogin(service).length, 1)
    t.regex(noLogin(service)[0] ?? '', reason)
  })
}

test('without a login page its paths go to the upstream, although SERVE_LOGIN is set', async (t) => {
  const upstream = await listen(t, (_request, response) => void response.writeHead(299).end())
  const service = await startService(t, {
    env: { AUTHENTICATION_BACKENDS: 'accounts.EmailBackend', SERVE_LOGIN: 'True', DJANGO_UPSTREAM: upstream },
  })
  t.deepEqual(await statusesOf(t, service), [299, 299, 299, 299, 299])
  t.is(noLogin(service).length, 1)
})

test('there is no warning with a backend that checks passwords, or with SERVE_LOGIN=False', async (t) => {
  const served = await startService(t, {
    env: { AUTHENTICATION_BACKENDS: `accounts.EmailBackend,${BACKENDS}AllowAllUsersModelBackend` },
  })
  t.deepEqual(await statusesOf(t, served), [200, 301, 403, 405, 403])
  const elsewhere = await startService(t, {
    env: { AUTHENTICATION_BACKENDS: 'accounts.EmailBackend', SERVE_LOGIN: 'False' },
  })
  for (const service of [served, elsewhere]) t.deepEqual(noLogin(service), [])
})
