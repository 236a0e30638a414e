/**
 * The rules in which Django versions differ, in one table. No other file compares version numbers. Each rule names its
 * source. The versions are from Django's release notes, and were checked with real Django.
 */
export interface VersionProfile {
  /** As passed in, e.g. `4.2` or `5.2.14`. */
  readonly version: string
  /**
   * The format in which this Django writes `session_data`: `legacy` is `base64(hash:json)`, `signed` is `signing.dumps`.
   * Source: django/contrib/sessions/backends/base.py, encode (3.1 changed it).
   */
  readonly writes: SessionFormat
  /** The formats that it reads, in the order in which it tries them. */
  readonly reads: readonly SessionFormat[]
  /** The hash for signatures, `get_session_auth_hash` and key derivation (SHA-256 since 3.1). */
  readonly hashAlgorithm: HashAlgorithm
  /**
   * The hashes with which a signature may be made; this Django signs with the first. 3.1 and 3.2 also accept SHA-1,
   * whatever they sign with (django/core/signing.py, Signer.legacy_algorithm; removed in 4.0).
   */
  readonly signatureAlgorithms: readonly [HashAlgorithm, ...HashAlgorithm[]]
  /** Whether it verifies with SECRET_KEY_FALLBACKS (since 4.1). */
  readonly usesFallbackKeys: boolean
  /**
   * The hashes with which an `_auth_user_hash` may be made; this Django writes the first. 3.1 and 3.2 also accept SHA-1,
   * and do not replace it (django/contrib/auth/base_user.py, _legacy_get_session_auth_hash; removed in 4.0).
   */
  readonly authHashAlgorithms: readonly [HashAlgorithm, ...HashAlgorithm[]]
  /**
   * Whether an `_auth_user_hash` made with one of SECRET_KEY_FALLBACKS is accepted (since 4.1.8, ticket 34384; before, it
   * logged the visitor out). The session then gets a new key and a hash made with SECRET_KEY.
   */
  readonly usesFallbackAuthHashes: boolean
  /** Whether the logout page logs out on a GET (before 5.0). Source: django/contrib/auth/views.py, LogoutView. */
  readonly logsOutOnGet: boolean
  /** Whether logging out keeps `_language` in the session (up to 2.2). */
  readonly keepsLanguageAtLogout: boolean
  /** The default of PASSWORD_HASHERS, by class name. The first hashes new passwords. */
  readonly passwordHashers: readonly string[]
  /** The parameters with which it hashes a new password (django/contrib/auth/hashers.py). */
  readonly hashingCost: HashingCost
  /** Whether an expiry may be stored as ISO 8601 text (since 4.1, ticket 33562). */
  readonly storesIsoExpiry: boolean
  /** Whether it has the PickleSerializer (deprecated in 4.1, removed in 5.0). */
  readonly hasPickleSerializer: boolean
  /** The module of the UTC of `timezone.now()`, which a pickle names (since 4.0: `datetime.timezone.utc`). */
  readonly pickledUtc: 'pytz' | 'datetime'
  /** Whether a response with this status saves the session: all but 500 before 4.2, all but 5xx since (ticket 34173). */
  savesSession(status: number): boolean
  /** Whether deleting the cookie adds `Vary: Cookie` (since 3.0). */
  readonly variesOnCookieDeletion: boolean
  /** Whether setting the cookie adds `Vary: Cookie` even if the session was not read (CVE-2026-35192: 5.2.14, 6.0.5). */
  readonly variesOnCookieSet: boolean
  /** Whether `Vary: *` replaces all other names (since 3.0; before, Django appended to it). */
  readonly knowsVaryStar: boolean
  /** Whether `SameSite=None` can be sent (since 3.1; before, Django answers 500). */
  readonly allowsSameSiteNone: boolean
  /** Whether Max-Age is truncated to whole seconds (since 3.2, set_cookie; 2.2 sends `90.7`). */
  readonly truncatesMaxAge: boolean
  /** The default of the setting USE_TZ (True since 5.0). */
  readonly useTzDefault: boolean
  readonly csrf: CsrfRules
  readonly messages: MessagesRules
  readonly signedCookies: SignedCookieRules
  readonly passwordReset: PasswordResetRules
  /**
   * Whether it has this BACKEND of CACHES, a dotted path; true for a path outside Django. RedisCache was added in 4.0,
   * PyMemcacheCache in 3.2; MemcachedCache was removed in 4.1.
   */
  hasCacheBackend(backend: string): boolean
  /**
   * The oldest server of each kind to which this Django connects; null before 4.2, which connects to every server. Measured for
   * 4.2, 5.2 and 6.1; a version between them has at least the limits of the older one.
   * Source: django/db/backends/…/features.py, minimum_database_version.
   */
  readonly oldestServers: Readonly<Record<ServerKind, string>> | null
}

/** The servers that Django tells apart by their version. */
export type ServerKind = 'mysql' | 'mariadb' | 'postgresql'

/** The CSRF rules of a version. Source: django/middleware/csrf.py of each release. */
export interface CsrfRules {
  /** Whether cookie and session contain the secret with a mask, 64 characters (before 4.1), or without one, 32. */
  readonly storesMasked: boolean
  /** Whether every response replaces a cookie without a mask by one with a mask (only 4.0). */
  readonly masksBareCookie: boolean
  /**
   * Whether the rejection of a malformed cookie or token says what is wrong with it, and every response replaces such a
   * cookie (since 4.0). Before, a random secret was used in its place, so that no token matched.
   */
  readonly namesMalformed: boolean
  /**
   * Whether the Origin header is checked before the Referer, and CSRF_TRUSTED_ORIGINS are origins such as
   * `https://*.example.com` (since 4.0) instead of hosts such as `.example.com`.
   */
  readonly checksOrigin: boolean
}

/** The parameters with which a version hashes new passwords. */
export interface HashingCost {
  /** For PBKDF2 with SHA-1 and with SHA-256; they rise with each release. */
  readonly pbkdf2Iterations: number
  /** `memoryCost` in KiB. */
  readonly argon2: { readonly timeCost: number; readonly memoryCost: number; readonly parallelism: number }
  readonly scrypt: { readonly N: number; readonly r: number; readonly p: number }
  /** The logarithm to base 2 of the number of rounds. */
  readonly bcryptRounds: number
}

/** The message rules of a version. Source: django/contrib/messages/storage/cookie.py and session.py of each release. */
export interface MessagesRules {
  /** The cookie formats that it reads; it writes the first (3.1 and 3.2 each added one). */
  readonly cookieFormats: readonly [MessagesCookieFormat, ...MessagesCookieFormat[]]
  /** Whether the list in the session has spaces after its commas (since 3.2). */
  readonly spacesSession: boolean
  /** Whether empty extra tags ('') are written (since 4.1; before, such a message has none). */
  readonly writesEmptyTags: boolean
}

/** The rules of `set_signed_cookie` and `get_signed_cookie`. Source: django/core/signing.py, _unsign_cookie. */
export interface SignedCookieRules {
  /**
   * Whether the salt begins with the length of the caller's salt, so that a name and a salt cannot be mistaken for other
   * ones (5.2.15, 6.0.6, 6.1).
   */
  readonly prefixesSalt: boolean
  /** The default of SIGNED_COOKIE_LEGACY_SALT_FALLBACK: whether cookies with the older salt are accepted, too. */
  readonly acceptsOlderSalt: boolean
}

/** The rules of password reset tokens. Source: django/contrib/auth/tokens.py, PasswordResetTokenGenerator. */
export interface PasswordResetRules {
  /** Whether a token counts days, and PASSWORD_RESET_TIMEOUT_DAYS limits them (before 3.1); since then, seconds. */
  readonly countsDays: boolean
  /** Whether the e-mail address is part of the hash (since 3.1). */
  readonly hashesEmail: boolean
  /** Whether a token of an older release, which counts days or is hashed with SHA-1, is accepted (3.1 and 3.2). */
  readonly acceptsOlderTokens: boolean
}

/** `hash`: `hash$json`; `signed-json`: the JSON text with a timestamp, signed; `signed`: `signing.dumps`. */
export type MessagesCookieFormat = 'hash' | 'signed-json' | 'signed'

/** The format of `session_data`: see `VersionProfile.writes`. */
export type SessionFormat = 'legacy' | 'signed'

/** The values of `DEFAULT_HASHING_ALGORITHM`, a setting that only 3.1 and 3.2 have. */
export type HashAlgorithm = 'sha1' | 'sha256'

/** The text is not a Django version, or an unsupported one. */
export class UnknownDjangoVersion extends Error {
  override name = 'UnknownDjangoVersion'
  readonly code: string = 'ERR_DJANGO_VERSION'
}

/**
 * Returns the rules of one Django version. A version without a patch number (`5.2`) means its last patch release.
 * @throws {UnknownDjangoVersion} if the text is not a version, or a version older than 2.2.
 */
export function versionProfile(
  version: string,
  { defaultHashingAlgorithm }: { defaultHashingAlgorithm?: HashAlgorithm | undefined } = {},
): VersionProfile {
  const release = parseVersion(version)
  const since = (...minimum: number[]) => isAtLeast(release, minimum)
  const transitional = since(3, 1) && !since(4, 0)
  const sha1 = !since(3, 1) || (transitional && defaultHashingAlgorithm === 'sha1')
  const hashAlgorithm = sha1 ? 'sha1' : 'sha256'
  return Object.freeze({
    version,
    writes: sha1 ? 'legacy' : 'signed',
    // 3.1 and 3.2 try the signed format first (base.py, decode), even with 'sha1': then it is signed with SHA-1.
    reads: transitional
      ? (['signed', 'legacy'] as const)
      : sha1
        ? (['legacy'] as const)
        : (['signed'] as const),
    hashAlgorithm,
    signatureAlgorithms: transitional && !sha1 ? (['sha256', 'sha1'] as const) : ([hashAlgorithm] as const),
    usesFallbackKeys: since(4, 1),
    authHashAlgorithms: transitional && !sha1 ? (['sha256', 'sha1'] as const) : ([hashAlgorithm] as const),
    usesFallbackAuthHashes: since(4, 1, 8),
    logsOutOnGet: !since(5, 0),
    keepsLanguageAtLogout: !since(3, 0),
    passwordHashers: since(4, 0) ? [...PASSWORD_HASHERS, 'ScryptPasswordHasher'] : PASSWORD_HASHERS,
    hashingCost: {
      pbkdf2Iterations: PBKDF2_ITERATIONS.find(([minimum]) => since(...minimum))?.[1] ?? 150_000,
      argon2: since(3, 2)
        ? { timeCost: 2, memoryCost: 102_400, parallelism: 8 }
        : { timeCost: 2, memoryCost: 512, parallelism: 2 },
      scrypt: { N: 2 ** 14, r: 8, p: since(5, 1) ? 5 : 1 },
      bcryptRounds: 12,
    },
    storesIsoExpiry: since(4, 1),
    hasPickleSerializer: !since(5, 0),
    pickledUtc: since(4, 0) ? 'datetime' : 'pytz',
    savesSession: since(4, 2) ? (status: number) => status < 500 : (status: number) => status !== 500,
    variesOnCookieDeletion: since(3, 0),
    variesOnCookieSet: since(6, 0) ? since(6, 0, 5) : since(5, 2, 14),
    knowsVaryStar: since(3, 0),
    allowsSameSiteNone: since(3, 1),
    truncatesMaxAge: since(3, 2),
    useTzDefault: since(5, 0),
    csrf: Object.freeze({
      storesMasked: !since(4, 1),
      masksBareCookie: since(4, 0) && !since(4, 1),
      namesMalformed: since(4, 0),
      checksOrigin: since(4, 0),
    }),
    messages: Object.freeze({
      cookieFormats: messagesCookieFormats(since),
      spacesSession: since(3, 2),
      writesEmptyTags: since(4, 1),
    }),
    signedCookies: Object.freeze({
      prefixesSalt: since(6, 0) ? since(6, 0, 6) : since(5, 2, 15),
      acceptsOlderSalt: !since(6, 1),
    }),
    passwordReset: Object.freeze({
      countsDays: !since(3, 1),
      hashesEmail: since(3, 1),
      acceptsOlderTokens: transitional,
    }),
    hasCacheBackend(backend: string) {
      if (backend === 'django.core.cache.backends.redis.RedisCache') return since(4, 0)
      if (backend === 'django.core.cache.backends.memcached.PyMemcacheCache') return since(3, 2)
      return backend !== 'django.core.cache.backends.memcached.MemcachedCache' || !since(4, 1)
    },
    oldestServers: OLDEST_SERVERS.find(([minimum]) => since(...minimum))?.[1] ?? null,
  })
}

/** Newest first. */
const OLDEST_SERVERS: readonly (readonly [
  minimum: readonly [number, number],
  servers: NonNullable<VersionProfile['oldestServers']>,
])[] = [
  [[6, 1], { mysql: '8.4', mariadb: '10.11', postgresql: '15' }],
  [[5, 2], { mysql: '8.0.11', mariadb: '10.5', postgresql: '14' }],
  [[4, 2], { mysql: '8', mariadb: '10.4', postgresql: '12' }],
]

/** Source: django/conf/global_settings.py. */
const PASSWORD_HASHERS = [
  'PBKDF2PasswordHasher',
  'PBKDF2SHA1PasswordHasher',
  'Argon2PasswordHasher',
  'BCryptSHA256PasswordHasher',
]

/** Newest first. Measured for 2.2, 3.2, 4.2, 5.2 and 6.1; for other versions from Django's release notes. */
const PBKDF2_ITERATIONS: readonly (readonly [minimum: readonly [number, number], iterations: number])[] = [
  [[6, 1], 1_500_000],
  [[6, 0], 1_200_000],
  [[5, 2], 1_000_000],
  [[5, 1], 870_000],
  [[5, 0], 720_000],
  [[4, 2], 600_000],
  [[4, 1], 390_000],
  [[4, 0], 320_000],
  [[3, 2], 260_000],
  [[3, 1], 216_000],
  [[3, 0], 180_000],
]
function messagesCookieFormats(since: (...minimum: number[]) => boolean): MessagesRules['cookieFormats'] {
  if (!since(3, 1)) return ['hash']
  if (!since(3, 2)) return ['signed-json', 'hash']
  if (!since(4, 0)) return ['signed', 'signed-json', 'hash']
  return since(4, 1) ? ['signed'] : ['signed', 'signed-json']
}

/** A version derived from the migrations of a site. */
export interface VersionFromMigrations {
  /** The version to use. */
  readonly version: string
  /** The releases that have the same migrations, and so cannot be distinguished from it. */
  readonly range: readonly [oldest: string, newest: string]
}

/**
 * Derives the version of a site from its `django_migrations` table; null if that is not possible. Since 3.1 (up to 6.1) no
 * app that sessions and users need has a new migration, so the result is only a range.
 * Source: django/contrib/auth/migrations of each release.
 */
export function versionFromMigrations(
  migrations: Iterable<{ app: string; name: string }>,
): VersionFromMigrations | null {
  const newest = [...migrations]
    .filter(({ app }) => app === 'auth')
    .reduce((latest, { name }) => Math.max(latest, Number.parseInt(name, 10) || 0), 0)
  // 0012_alter_user_first_name_max_length was added in 3.1, the first version that signs sessions;
  // 0011_update_proxy_permissions in 2.2.
  if (newest >= 12) return { version: NEWEST_MEASURED, range: ['3.1', NEWEST_MEASURED] }
  if (newest === 11) return { version: OLDEST_SUPPORTED, range: [OLDEST_SUPPORTED, '3.0'] }
  return null
}

const OLDEST_SUPPORTED = '2.2'
const NEWEST_MEASURED = '6.1'

function parseVersion(version: string): number[] {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version.trim())
  if (match === null) {
    throw new UnknownDjangoVersion(
      `${JSON.stringify(version)} is not a Django version; set it to the output of \`python -m django --version\`, e.g. 4.2`,
    )
  }
  const release = [Number(match[1]), Number(match[2]), match[3] === undefined ? Infinity : Number(match[3])]
  if (!isAtLeast(release, [2, 2])) {
    throw new UnknownDjangoVersion(
      `Django ${version} is not supported; the oldest supported version is ${OLDEST_SUPPORTED}`,
    )
  }
  return release
}

function isAtLeast(release: readonly number[], minimum: readonly number[]): boolean {
  for (const [index, wanted] of minimum.entries()) {
    const actual = release[index] ?? 0
    if (actual !== wanted) return actual > wanted
  }
  return true
}
