import { type PasswordHasher, passwordHashers, type StoredPassword } from './password-hashers.ts'
import type { VersionProfile } from './versions.ts'

/** Why a stored password could not be compared, with its algorithm. Contains no part of the hash. */
export interface PasswordRefusal {
  readonly reason:
    | 'empty'
    | 'unusable'
    | 'unknown algorithm'
    | 'not in PASSWORD_HASHERS'
    | 'malformed'
    | 'too costly'
  /** The name at the start of the stored text, e.g. `md5`; '' if there is none that is known to be no secret. */
  readonly algorithm: string
}

/** The result of a check. `refusal` is null if the password could be compared. */
export interface PasswordCheck {
  readonly isCorrect: boolean
  readonly refusal: PasswordRefusal | null
}

/** Checks passwords against the `password` column. */
export interface Passwords {
  /**
   * Checks a password against the text of the `password` column. A hash that cannot be compared takes the same time.
   *
   * The stored hash is never replaced. Unlike Django, which rehashes the password at login if its own parameters have
   * changed (`must_update`): a new hash changes `_auth_user_hash`, so all other sessions of the user end. Django itself
   * decides when to do that.
   * @throws {PasswordsBusy}
   */
  check(password: string, encoded: string): Promise<PasswordCheck>
  /** Why the text of a `password` column could not be compared; null if it could. No password is hashed for the answer. */
  refusalOf(encoded: string): PasswordRefusal | null
  /** Takes as long as a check, for a user who does not exist. @throws {PasswordsBusy} */
  simulateCheck(password: string): Promise<void>
}

/** Hashers and limits of the check. */
export interface PasswordsOptions {
  readonly profile: VersionProfile
  /** PASSWORD_HASHERS; default: Django's default. The first supported one determines how long a failed check takes. */
  readonly hashers?: readonly string[]
  /**
   * Maximum number of simultaneous checks; default: 2. Each occupies one of libuv's four threads for half a second, and
   * argon2 needs 100 MiB.
   */
  readonly concurrency?: number
}

/** Too many logins are waiting for a password check. */
export class PasswordsBusy extends Error {
  override name = 'PasswordsBusy'
  readonly code: string = 'ERR_PASSWORDS_BUSY'
}

const MAX_WAITING = 50

/**
 * Creates the password check of one site.
 * Source: django/contrib/auth/hashers.py, verify_password; backends.py, ModelBackend.authenticate.
 */
export function createPasswords({
  profile,
  hashers: allowed = profile.passwordHashers,
  concurrency = 2,
}: PasswordsOptions): Passwords {
  const known = passwordHashers(profile.hashingCost)
  const hashers = allowed.flatMap(
    (path) => known.get(path.replace(/^django\.contrib\.auth\.hashers\./, '')) ?? [],
  )
  const preferred = hashers[0] ?? known.get('PBKDF2PasswordHasher')
  const limited = createConcurrencyLimit(concurrency)

  function find(encoded: string): PasswordHasher | PasswordRefusal {
    if (encoded === '') return { reason: 'empty', algorithm: '' }
    if (encoded.startsWith('!')) return { reason: 'unusable', algorithm: '' }
    const algorithm = algorithmOf(encoded)
    const hasher = hashers.find((one) => one.algorithm === algorithm)
    if (hasher !== undefined) return hasher
    const isKnown = [...known.values()].some((one) => one.algorithm === algorithm)
    return { reason: isKnown ? 'not in PASSWORD_HASHERS' : 'unknown algorithm', algorithm }
  }

  function read(encoded: string): { hasher: PasswordHasher; stored: StoredPassword } | PasswordRefusal {
    const hasher = find(encoded)
    if ('reason' in hasher) return hasher
    const { algorithm } = hasher
    const stored = hasher.read(encoded)
    if (stored === null) return { reason: 'malformed', algorithm }
    return stored.isTooCostly ? { reason: 'too costly', algorithm } : { hasher, stored }
  }

  async function check(password: string, encoded: string): Promise<PasswordCheck> {
    const found = read(encoded)
    if ('reason' in found) return refuse(password, found)
    const { hasher, stored } = found
    const isCorrect = await stored.verify(password)
    if (isCorrect === null) return refuse(password, { reason: 'malformed', algorithm: hasher.algorithm })
    if (!isCorrect && hasher === preferred) await stored.harden(password)
    return { isCorrect, refusal: null }
  }

  async function refuse(password: string, refusal: PasswordRefusal): Promise<PasswordCheck> {
    await preferred?.run(password)
    return { isCorrect: false, refusal }
  }

  return {
    refusalOf(encoded) {
      const found = read(encoded)
      return 'reason' in found ? found : null
    },
    check: (password, encoded) => limited(() => check(password, encoded)),
    simulateCheck: (password) => limited(async () => preferred?.run(password)),
  }
}

/** The algorithm at the start of the text, if it looks like a name that Django or an extension uses. Source: identify_hasher. */
function algorithmOf(encoded: string): string {
  if ((encoded.length === 32 && !encoded.includes('$')) || /^md5\$\$.{32}$/.test(encoded))
    return 'unsalted_md5'
  if (/^sha1\$\$.{40}$/.test(encoded)) return 'unsalted_sha1'
  // Any other beginning could be part of a secret.
  return (
    /^((?:argon2|bcrypt|crypt|hmac|md5|pbkdf2|phpass|scrypt|sha1|sha256|sha512|ssha|unsalted)\w{0,20})\$/.exec(
      encoded,
    )?.[1] ?? ''
  )
}

/** Runs at most `concurrency` tasks at the same time; the others wait in order. */
function createConcurrencyLimit(concurrency: number): <T>(task: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async function limited(task) {
    if (running < concurrency) running += 1
    else if (waiting.length < MAX_WAITING) await new Promise<void>((resolve) => waiting.push(resolve))
    else throw new PasswordsBusy(`${MAX_WAITING} logins are waiting for a password check; try again later`)
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
