import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import {
  CSRF_SESSION_KEY,
  type CsrfSecret,
  checkCsrfToken,
  createCsrfSecret,
  createOriginCheck,
  isSafeMethod,
  maskCsrfSecret,
  newCsrfSecret,
  readCsrfCookie,
  readCsrfSession,
  unmaskCsrfToken,
} from '../../src/django/csrf.ts'
import { isAllowedHost } from '../../src/django/hosts.ts'
import { type CsrfRules, versionProfile } from '../../src/django/versions.ts'

interface Case {
  readonly request: {
    readonly method?: string
    readonly stored?: string
    readonly field?: string
    readonly header?: string
    readonly origin?: string
    readonly referer?: string
    readonly secure?: boolean
    readonly host?: string
    readonly port?: string
    readonly settings?: {
      readonly CSRF_TRUSTED_ORIGINS?: readonly string[]
      readonly CSRF_TRUSTED_HOSTS?: readonly string[]
      readonly CSRF_COOKIE_DOMAIN?: string
      readonly SESSION_COOKIE_DOMAIN?: string
      readonly CSRF_USE_SESSIONS?: boolean
      readonly CSRF_HEADER_NAME?: string
      readonly ALLOWED_HOSTS?: readonly string[]
    }
  }
  /** Indexes into `answers`, one for each Django version. */
  readonly results: readonly number[]
}

interface Stored {
  readonly own: boolean
  readonly length: number
  readonly same: boolean
}

interface Answer {
  readonly reason: string | null
  readonly passive?: Stored | null
  readonly active?: Stored | null
}

/** Recorded from real Django by csrf.py. */
const vectors: {
  readonly djangos: readonly string[]
  readonly secret: string
  readonly answers: readonly Answer[]
  readonly cases: readonly Case[]
} = JSON.parse(readFileSync(new URL('../vectors/csrf.json', import.meta.url), 'utf8'))

for (const [index, version] of vectors.djangos.entries()) {
  test(`each of ${vectors.cases.length} requests is accepted or rejected as by Django ${version}`, (t) => {
    const { csrf: rules } = versionProfile(version)
    const wrong: unknown[] = []
    for (const { request, results } of vectors.cases) {
      const theirs = vectors.answers[results[index] ?? -1]
      const ours = answer(request, rules)
      const message = JSON.stringify(request)
      if (theirs?.reason === 'ValueError') {
        // Django answers 500 if Python cannot parse the URL.
        t.is(ours.reason, 'Referer checking failed - Referer is malformed.', message)
      } else if (theirs?.reason === 'AssertionError') {
        // Before 4.1, Django does not accept the tokens that it creates from an unmasked secret in the session.
        t.regex(ours.reason ?? '', /^CSRF token /, message)
        t.deepEqual(ours.active, { own: false, length: 64, same: false }, message)
      } else {
        const expected = { ...theirs, reason: withoutPath(theirs?.reason ?? null) }
        if (!isDeepStrictEqual(ours, expected)) wrong.push({ request, ours, expected })
      }
    }
    t.deepEqual(wrong, [])
  })
}

for (const file of readdirSync(new URL('../measured/', import.meta.url))) {
  const [, version] = /^csrf-(.*)\.json$/.exec(file) ?? []
  if (version === undefined) continue
  const measured = JSON.parse(readFileSync(new URL(`../measured/${file}`, import.meta.url), 'utf8'))
  test(`with CSRF_USE_SESSIONS, secret and token have the lengths measured on Django ${version}`, (t) => {
    const { secret, stored } = createCsrfSecret(versionProfile(version).csrf)
    t.deepEqual(
      {
        sessionKeys: [CSRF_SESSION_KEY],
        storedLength: stored.length,
        tokenInHtmlLength: String(maskCsrfSecret(secret).length),
      },
      measured,
    )
  })
}

test('each token is different, and each contains the same secret', (t) => {
  const secret = newCsrfSecret()
  t.regex(secret, /^[a-zA-Z0-9]{32}$/)
  t.not(newCsrfSecret(), secret)
  const tokens = new Set(Array.from({ length: 50 }, () => maskCsrfSecret(secret)))
  t.is(tokens.size, 50)
  for (const token of tokens) {
    t.regex(token, /^[a-zA-Z0-9]{64}$/)
    t.is(unmaskCsrfToken(token), secret)
  }
})

test('a malformed secret in the session matches no token, and the next form replaces it', (t) => {
  for (const version of ['2.2', '6.1']) {
    const { csrf: rules } = versionProfile(version)
    const token = maskCsrfSecret('a'.repeat(32))
    for (const junk of ['', 'short', 'é'.repeat(32), `${token}a`, 5, true, [token], { token }]) {
      const received = readCsrfSession(junk, rules)
      const tokens = { received, field: token, header: undefined, headerName: 'HTTP_X_CSRFTOKEN' }
      t.regex(checkCsrfToken(tokens, rules) ?? '', / incorrect\.$/)
      t.is(received?.stored.length, rules.storesMasked ? 64 : 32)
    }
    for (const none of [null, undefined]) t.is(readCsrfSession(none, rules), null)
  }
})

function answer(request: Case['request'], rules: CsrfRules): Answer {
  const { method = 'POST', host = 'example.com', secure = false, port = '80', settings = {} } = request
  const { stored, field, header, origin, referer } = request
  const useSessions = settings.CSRF_USE_SESSIONS === true
  const received = useSessions ? readCsrfSession(stored, rules) : readCsrfCookie(stored, rules)
  const checkOrigin = createOriginCheck({
    rules,
    trustedOrigins: (rules.checksOrigin ? settings.CSRF_TRUSTED_ORIGINS : settings.CSRF_TRUSTED_HOSTS) ?? [],
    cookieDomain: (useSessions ? settings.SESSION_COOKIE_DOMAIN : settings.CSRF_COOKIE_DOMAIN) ?? null,
  })
  const isHostAllowed = isAllowedHost(host, settings.ALLOWED_HOSTS ?? ['*'])
  const isSecure = secure
  const headerName = settings.CSRF_HEADER_NAME ?? 'HTTP_X_CSRFTOKEN'
  const sent = method === 'POST' ? field : undefined
  const reason = isSafeMethod(method)
    ? null
    : (checkOrigin({ method, host: isHostAllowed ? host : null, isSecure, port, origin, referer }) ??
      checkCsrfToken({ received, field: sent, header, headerName }, rules))
  const isMalformed = received !== null && 'malformed' in received
  const isRewritten = !useSessions && received !== null && !isMalformed && rules.masksBareCookie
  const kept = isMalformed || received === null ? createCsrfSecret(rules) : received
  const passive = isMalformed || (isRewritten && kept.stored !== stored) ? describe(kept, stored) : null
  const isStored = useSessions && kept.stored === stored
  return { reason, passive, active: isStored ? null : describe(kept, stored) }
}

function describe(secret: CsrfSecret, before: string | undefined): Stored {
  return {
    own: secret.secret === vectors.secret,
    length: secret.stored.length,
    same: secret.stored === before,
  }
}

/** Our reasons contain only the origin of a Referer. */
function withoutPath(reason: string | null): string | null {
  if (reason === null) return null
  return reason.replace(/^(Referer .* - https:\/\/)(?:[^/?#\s]*@)?([^/?#\s]*)\S*( does not.*)$/i, '$1$2$3')
}
