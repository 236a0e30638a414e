import { tmpdir } from 'node:os'
import test, { type ExecutionContext } from 'ava'
import { secretKey, serviceEnvironment, takeTurn } from '../../interop/sites.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { createTestDatabase, runSql } from '../../support/databases.ts'
import { startDjango } from '../../support/django.ts'
import { findingsOf, firstProblem, outcomesOf, plantedVersions } from './planted.ts'

const BACKENDS = 'django.contrib.sessions.backends.'
const STORAGE = 'django.contrib.messages.storage.'

interface Site {
  readonly env: Record<string, string>
  readonly databaseUrl: string
  readonly django: string
}

async function startSite(
  t: Pick<ExecutionContext, 'teardown'>,
  version: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Site> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings })
  const env = { ...serviceEnvironment({ version, databaseUrl }), DJANGO_UPSTREAM: django }
  return { env, databaseUrl, django }
}

/** Settings of ours that differ from those of a plain Django, and what is named first. */
const FAULTS: readonly {
  readonly name: string
  readonly ours: Readonly<Record<string, string>>
  readonly found: RegExp
}[] = [
  {
    name: 'SESSION_COOKIE_NAME differs',
    ours: { SESSION_COOKIE_NAME: 'visit' },
    found:
      /^http\.E008 Django's session cookie is sessionid, and ours is visit → set SESSION_COOKIE_NAME=sessionid$/,
  },
  {
    name: 'SESSION_COOKIE_PATH differs, so that a browser has two cookies',
    ours: { SESSION_COOKIE_PATH: '/catalog/' },
    found:
      /^http\.E009 SESSION_COOKIE_PATH is \/ in Django and \/catalog\/ here; a browser keeps two cookies sessionid then → set SESSION_COOKIE_PATH=\/$/,
  },
  {
    name: 'SESSION_COOKIE_DOMAIN differs, so that a browser has two cookies',
    ours: { SESSION_COOKIE_DOMAIN: '127.0.0.1' },
    found:
      /^http\.E009 SESSION_COOKIE_DOMAIN is empty in Django and 127\.0\.0\.1 here; .* → leave SESSION_COOKIE_DOMAIN empty$/,
  },
  {
    name: 'SESSION_COOKIE_DOMAIN fits no host',
    ours: { SESSION_COOKIE_DOMAIN: '.example.com', ALLOWED_HOSTS: '127.0.0.1 library.example.org' },
    found:
      /^http\.E002 browsers refuse a cookie for \.example\.com at every host of ALLOWED_HOSTS: 127\.0\.0\.1, library\.example\.org → leave/,
  },
  {
    name: 'SESSION_COOKIE_DOMAIN does not fit one of the hosts',
    ours: { SESSION_COOKIE_DOMAIN: 'example.com', ALLOWED_HOSTS: 'www.example.com .example.com library.org' },
    found: /^http\.E002 browsers refuse a cookie for example\.com at library\.org → /,
  },
  {
    name: 'secure cookies over HTTP',
    ours: { SESSION_COOKIE_SECURE: 'True' },
    found:
      /^http\.E001 SESSION_COOKIE_SECURE is True, and no proxy .* → .*TRUSTED_PROXY.*SESSION_COOKIE_SECURE=False/,
  },
  {
    name: 'SESSION_COOKIE_SECURE differs',
    ours: { SESSION_COOKIE_SECURE: 'True', TRUSTED_PROXY: 'True' },
    found:
      /^http\.W010 SESSION_COOKIE_SECURE is False in Django and True here → set SESSION_COOKIE_SECURE=False$/,
  },
  {
    name: 'SESSION_COOKIE_SAMESITE and _HTTPONLY differ',
    ours: { SESSION_COOKIE_SAMESITE: 'Strict', SESSION_COOKIE_HTTPONLY: 'False' },
    found: /^http\.W010 .* → set SESSION_COOKIE_HTTPONLY=True, set SESSION_COOKIE_SAMESITE=Lax$/,
  },
  {
    name: 'SESSION_COOKIE_AGE differs',
    ours: { SESSION_COOKIE_AGE: '600' },
    found:
      /^http\.W011 SESSION_COOKIE_AGE is 1209600 in Django and 600 here → set SESSION_COOKIE_AGE=1209600$/,
  },
  {
    name: 'SESSION_EXPIRE_AT_BROWSER_CLOSE differs',
    ours: { SESSION_EXPIRE_AT_BROWSER_CLOSE: 'True' },
    found: /^http\.W011 .* → set SESSION_EXPIRE_AT_BROWSER_CLOSE=False$/,
  },
  {
    name: 'DJANGO_SECRET_KEY is wrong',
    ours: { DJANGO_SECRET_KEY: 'another key' },
    found:
      /^http\.E012 .* none of the secret keys verifies its signature → set DJANGO_SECRET_KEY to Django's SECRET_KEY/,
  },
  {
    name: 'SESSION_STORE_CLASS is wrong',
    ours: { SESSION_STORE_CLASS: 'MyStore' },
    found: /^http\.E012 .* → remove SESSION_STORE_CLASS/,
  },
  {
    name: 'sessions are in files here',
    ours: { SESSION_ENGINE: `${BACKENDS}file`, SESSION_FILE_PATH: tmpdir() },
    found:
      /^http\.E012 Django's new session is not in the files of .*, but in the table django_session → set SESSION_ENGINE=django\.contrib\.sessions\.backends\.db/,
  },
  {
    name: 'sessions are in cookies here',
    ours: { SESSION_ENGINE: `${BACKENDS}signed_cookies` },
    found: /^http\.E012 .* not in the cookie, but in the table django_session → set SESSION_ENGINE=/,
  },
  {
    name: 'CSRF_COOKIE_NAME differs',
    ours: { CSRF_COOKIE_NAME: 'token' },
    found:
      /^http\.E013 Django's CSRF cookie is csrftoken, and ours is token → set CSRF_COOKIE_NAME=csrftoken$/,
  },
  {
    name: 'CSRF_USE_SESSIONS is True here alone',
    ours: { CSRF_USE_SESSIONS: 'True' },
    found: /^http\.E013 Django keeps the CSRF secret in a cookie, .* → set CSRF_USE_SESSIONS=False$/,
  },
  {
    name: 'CSRF_COOKIE_PATH, _SAMESITE and _AGE differ',
    ours: { CSRF_COOKIE_PATH: '/catalog/', CSRF_COOKIE_SAMESITE: 'Strict', CSRF_COOKIE_AGE: '60' },
    found:
      /^http\.W014 .* → set CSRF_COOKIE_PATH=\/, set CSRF_COOKIE_SAMESITE=Lax, set CSRF_COOKIE_AGE=31449600$/,
  },
  {
    name: 'visitors use HTTPS, and TRUSTED_PROXY is not set',
    ours: { SECURE_HSTS_SECONDS: '3600' },
    found:
      /^http\.W016 SECURE_HSTS_SECONDS is set: visitors use HTTPS, .* → set TRUSTED_PROXY=host,proto,for/,
  },
]

for (const version of plantedVersions) {
  test(`Django ${version}: each wrong setting is named first, and no session of the doctor stays`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, version)
    const stored = () => runSql(site.databaseUrl, 'SELECT session_key FROM django_session')
    const findings = await findingsOf(site.env, { tags: ['http'] })
    t.is(firstProblem(findings), 'all is well')
    t.deepEqual(
      outcomesOf(findings).filter((one) => one.endsWith('skipped')),
      [],
    )
    // One after the other: each looks at the sessions that the doctor left.
    for (const { name, ours, found } of [...FAULTS, wrongVersion(version)]) {
      t.regex(firstProblem(await findingsOf({ ...site.env, ...ours }, { tags: ['http'] })), found, name)
      t.deepEqual(await stored(), [], name)
    }
    const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    t.regex(
      firstProblem(await findingsOf({ ...site.env, DATABASE_URL: url }, { tags: ['http'] })),
      /^http\.E012 Django's new session is not in the table django_session, which is empty → Django uses another database/,
    )
  })

  for (const { name, settings, found } of theirFaults()) {
    test(`Django ${version}, named first: ${name}`, async (t) => {
      await takeTurn(t)
      t.timeout(110_000)
      const { env } = await startSite(t, version, settings)
      t.regex(firstProblem(await findingsOf(env, { tags: ['http'] })), found)
    })
  }

  test(`Django ${version}, named first: MESSAGE_STORAGE differs`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, version, { MESSAGE_STORAGE: `${STORAGE}session.SessionStorage` })
    const visitor = createVisitor()
    const page = await (await visitor.fetch(`${site.django}/_test/form`)).text()
    const [, token = ''] = /name="csrfmiddlewaretoken" value="(\w+)"/.exec(page) ?? []
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, messages: '[[20, "hello", "", false]]' })
    t.is((await visitor.fetch(`${site.django}/_test/form`, { method: 'POST', body })).status, 200)
    for (const storage of ['fallback.FallbackStorage', 'cookie.CookieStorage'])
      t.regex(
        firstProblem(
          await findingsOf({ ...site.env, MESSAGE_STORAGE: `${STORAGE}${storage}` }, { tags: ['http'] }),
        ),
        /^http\.W015 1 of the newest sessions hold messages, .* → set MESSAGE_STORAGE=\S+\.SessionStorage/,
      )
    const equal = { ...site.env, MESSAGE_STORAGE: `${STORAGE}session.SessionStorage` }
    t.is(firstProblem(await findingsOf(equal, { tags: ['http'] })), 'all is well')
    t.is(
      (await runSql(site.databaseUrl, 'SELECT 1 FROM django_session')).length,
      1,
      'the session of the visitor stays',
    )
  })

  test(`Django ${version} behind HTTPS, with other cookies, alike on both sides: all is well`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const settings = {
      SESSION_COOKIE_NAME: 'visit-id',
      SESSION_COOKIE_DOMAIN: '.example.com',
      SESSION_COOKIE_SAMESITE: 'Strict',
      SESSION_COOKIE_AGE: '600',
      SESSION_COOKIE_SECURE: 'true',
      CSRF_COOKIE_SECURE: 'true',
      CSRF_COOKIE_NAME: 'token',
    }
    const { env } = await startSite(t, version, {
      ...settings,
      ALLOWED_HOSTS: '["library.example.com"]',
      SECURE_SSL_REDIRECT: 'true',
      SECURE_PROXY_SSL_HEADER: '["HTTP_X_FORWARDED_PROTO", "https"]',
    })
    const ours = { ...settings, ALLOWED_HOSTS: 'library.example.com', TRUSTED_PROXY: 'True' }
    const findings = await findingsOf({ ...env, ...ours }, { tags: ['http'] })
    t.is(firstProblem(findings), 'all is well')
    t.deepEqual(
      outcomesOf(findings).filter((one) => one.endsWith('skipped')),
      [],
    )
  })
}

/** Settings of Django, with the defaults here. */
function theirFaults(): {
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
  readonly found: RegExp
}[] {
  return [
    {
      name: 'HTTPS in front without TRUSTED_PROXY (SECURE_SSL_REDIRECT)',
      settings: {
        SECURE_SSL_REDIRECT: 'true',
        SECURE_PROXY_SSL_HEADER: '["HTTP_X_FORWARDED_PROTO", "https"]',
      },
      found:
        /^http\.E006 Django redirects every page to https:\/\/ .* → with HTTPS in front set TRUSTED_PROXY=/,
    },
    {
      name: "Django's ALLOWED_HOSTS lacks our host",
      settings: { ALLOWED_HOSTS: '["library.example.com"]' },
      found:
        /^http\.E005 Django answers 400 for the host 127\.0\.0\.1, .* → add it to ALLOWED_HOSTS in settings\.py/,
    },
    {
      name: 'CSRF_USE_SESSIONS is True in Django alone',
      settings: { CSRF_USE_SESSIONS: 'true' },
      found: /^http\.E013 Django keeps the CSRF secret in the session, .* → set CSRF_USE_SESSIONS=True$/,
    },
    {
      name: 'Django keeps sessions in a cache',
      settings: { SESSION_ENGINE: `${BACKENDS}cache` },
      found:
        /^http\.E012 Django's new session is not in the table django_session, .* → .*SESSION_ENGINE and CACHES/,
    },
    {
      name: 'Django keeps sessions in cookies',
      settings: { SESSION_ENGINE: `${BACKENDS}signed_cookies` },
      found:
        /^http\.E012 Django keeps the session in the cookie itself → set SESSION_ENGINE=django\.contrib\.sessions\.backends\.signed_cookies/,
    },
    {
      name: 'cookies of Django are secure, and TRUSTED_PROXY is not set',
      settings: { CSRF_COOKIE_SECURE: 'true' },
      found: /^http\.W014 CSRF_COOKIE_SECURE is True in Django and False here → set CSRF_COOKIE_SECURE=True$/,
    },
  ]
}

function wrongVersion(version: string): (typeof FAULTS)[number] {
  return {
    name: 'DJANGO_VERSION is of the other format',
    ours: { DJANGO_VERSION: version === '2.2' ? '6.1' : '2.2' },
    found: /^http\.E012 .* → set DJANGO_VERSION to what `python -m django --version` prints there/,
  }
}
