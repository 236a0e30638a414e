import { wallClock, writeDigits } from '../django/datetime.ts'
import { constantTimeCompare, type SecretKey, saltedHmac } from '../django/signing.ts'
import { type HashAlgorithm, type VersionProfile, versionProfile } from '../django/versions.ts'
import type { SigningOptions } from './signer.ts'

/** What of a user is part of a token, so that the token ends when any of it changes. */
export interface PasswordResetUser {
  /** The primary key, as Python's `str` writes it. */
  readonly id: number | bigint | string
  /** The hash in the column `password`. */
  readonly password: string
  /** `last_login`; null: never. */
  readonly lastLogin: Date | null
  /** The field that EMAIL_FIELD names; '' or null without one. Django before 3.1 ignores it. */
  readonly email: string | null
}

/** How the tokens of a Django site are made. */
export interface PasswordResetOptions extends SigningOptions {
  /** USE_TZ; default: true. It decides how `last_login` is written in a token. */
  readonly useTz?: boolean
  /** TIME_ZONE; default: UTC. A token holds the time of this zone. */
  readonly timeZone?: string
}

/**
 * Whether Django's `default_token_generator.check_token(user, token)` accepts the token of a password reset link.
 * `timeout`: PASSWORD_RESET_TIMEOUT in seconds, before 3.1 PASSWORD_RESET_TIMEOUT_DAYS times 86400; default: three days.
 * Source: django/contrib/auth/tokens.py, PasswordResetTokenGenerator.check_token.
 * @throws {UnknownDjangoVersion}
 */
export function checkPasswordResetToken(
  user: PasswordResetUser,
  token: string,
  { timeout = THREE_DAYS, ...options }: PasswordResetOptions & { readonly timeout?: number },
): boolean {
  const generator = openGenerator(options)
  const stamp = /^([0-9a-z]{1,13})-[0-9a-f]+$/.exec(token)?.[1]
  if (stamp === undefined) return false
  const timestamp = Number.parseInt(stamp, 36)
  if (!generator.candidates(user, timestamp).some((candidate) => constantTimeCompare(candidate, token)))
    return false
  const now = generator.timestamp()
  if (generator.rules.countsDays) return now - timestamp <= Math.floor(timeout / DAY)
  const isInDays = generator.rules.acceptsOlderTokens && stamp.length < 4
  return now - (isInDays ? timestamp * DAY + (now % DAY) : timestamp) <= timeout
}

/**
 * The token of `default_token_generator.make_token(user)`, for a link that Django's or this check accepts.
 * Source: django/contrib/auth/tokens.py, PasswordResetTokenGenerator.make_token.
 * @throws {UnknownDjangoVersion}
 */
export function makePasswordResetToken(user: PasswordResetUser, options: PasswordResetOptions): string {
  const generator = openGenerator(options)
  const [token = ''] = generator.candidates(user, generator.timestamp())
  return token
}

const THREE_DAYS = 259_200
const DAY = 86_400

/** Milliseconds from 1970 to 2001-01-01, from which tokens count. */
const EPOCH = Date.UTC(2001, 0, 1)

const KEY_SALT = 'django.contrib.auth.tokens.PasswordResetTokenGenerator'

interface Generator {
  readonly rules: VersionProfile['passwordReset']
  /** Seconds, or before 3.1 days, since 2001 on the clock of the site. */
  timestamp(): number
  /** The tokens that are valid for this user at this time; the first is the one that is made. */
  candidates(user: PasswordResetUser, timestamp: number): string[]
}

function openGenerator({
  secretKeys,
  djangoVersion,
  defaultHashingAlgorithm,
  useTz = true,
  timeZone = 'UTC',
  now = () => new Date(),
}: PasswordResetOptions): Generator {
  const profile = versionProfile(djangoVersion, { defaultHashingAlgorithm })
  const { passwordReset: rules, signatureAlgorithms } = profile
  const site = wallClock(timeZone)
  // Aware in UTC, or naive on the site's clock (user.last_login.replace(tzinfo=None)).
  const login = useTz ? wallClock('UTC') : site
  const keys: readonly SecretKey[] = profile.usesFallbackKeys ? secretKeys : [secretKeys[0]]
  const algorithms: readonly HashAlgorithm[] = rules.acceptsOlderTokens
    ? [...new Set([...signatureAlgorithms, 'sha1' as const])]
    : [profile.hashAlgorithm]

  function hashValue({ id, password, lastLogin, email }: PasswordResetUser, timestamp: number): string {
    const seconds = lastLogin === null ? null : Math.floor(login.digits(lastLogin) / 1000) * 1000
    const loggedIn = seconds === null ? '' : writeDigits(seconds, { separator: ' ', fraction: 'unless zero' })
    return `${id}${password}${loggedIn}${timestamp}${rules.hashesEmail ? (email ?? '') : ''}`
  }

  return {
    rules,
    timestamp: () => Math.floor((site.digits(now()) - EPOCH) / (rules.countsDays ? DAY * 1000 : 1000)),
    candidates(user, timestamp) {
      const value = hashValue(user, timestamp)
      return keys.flatMap((key) =>
        algorithms.map((algorithm) => {
          const hash = saltedHmac(KEY_SALT, key, algorithm)().update(value).digest('hex')
          return `${timestamp.toString(36)}-${everySecond(hash)}`
        }),
      )
    },
  }
}

/** Python's `text[::2]`. */
function everySecond(text: string): string {
  return text.replace(/(.)./g, '$1')
}
