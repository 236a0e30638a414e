import { type PasswordHasher, passwordHashers } from './password-hashers.ts'
import type { VersionProfile } from './versions.ts'

/** Why a stored password was not even compared, with the name of its algorithm; nothing of the hash itself. */
export interface PasswordRefusal {
  readonly reason:
    | 'empty'
    | 'unusable'
    | 'unknown algorithm'
    | 'not in PASSWORD_HASHERS'
    | 'malformed'
    | 'too costly'
  /** As the stored text begins, e.g. `md5`; '' for one that has no such beginning. */
  readonly algorithm: string
}

export interface PasswordCheck {
  readonly isCorrect: boolean
  readonly refusal: PasswordRefusal | null
}

export interface Passwords {
  /**
   * Whether this is the password that a user's `password` column stands for. A hash that cannot be verified costs the
   * time that a verified one does.
   *
   * The stored hash is never replaced. Unlike Django, which hashes the password anew at a login where its own
   * parameters have changed since (`must_update`): that changes `_auth_user_hash`, so all other sessions of the user
   * end, and it is for the site's own Django to say which hash it wants.
   * @throws {PasswordsBusy}
   */
  check(password: string, encoded: string): Promise<PasswordCheck>
  /** Takes the time of a check, for a user who does not exist. @throws {PasswordsBusy} */
  pretend(password: string): Promise<void>
}

export interface PasswordsOptions {
  readonly profile: VersionProfile
  /** PASSWORD_HASHERS; Django's own default unless given. The first that is known here sets the time of a failure. */
  readonly hashers?: readonly string[]
  /** How many checks run at once: each takes one of libuv's four threads for half a second, and argon2 100 MiB. */
  readonly concurrency?: number
}

/** More logins wait than will be answered soon. */
export class PasswordsBusy extends Error {
  override name = 'PasswordsBusy'
  readonly code: string = 'ERR_PASSWORDS_BUSY'
}

const MAX_WAITING = 50

/** Source: django/contrib/auth/hashers.py, verify_password; backends.py, ModelBackend.authenticate. */
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
  const inTurn = createTurns(concurrency)

  function find(encoded: string): PasswordHasher | PasswordRefusal {
    if (encoded === '') return { reason: 'empty', algorithm: '' }
    if (encoded.startsWith('!')) return { reason: 'unusable', algorithm: '' }
    const algorithm = algorithmOf(encoded)
    const hasher = hashers.find((one) => one.algorithm === algorithm)
    if (hasher !== undefined) return hasher
    const isKnown = [...known.values()].some((one) => one.algorithm === algorithm)
    return { reason: isKnown ? 'not in PASSWORD_HASHERS' : 'unknown algorithm', algorithm }
  }

  async function check(password: string, encoded: string): Promise<PasswordCheck> {
    const hasher = find(encoded)
    if ('reason' in hasher) return refuse(password, hasher)
    const { algorithm } = hasher
    const stored = hasher.read(encoded)
    if (stored === null) return refuse(password, { reason: 'malformed', algorithm })
    if (stored.isTooCostly) return refuse(password, { reason: 'too costly', algorithm })
    const isCorrect = await stored.verify(password)
    if (isCorrect === null) return refuse(password, { reason: 'malformed', algorithm })
    if (!isCorrect && hasher === preferred) await stored.harden(password)
    return { isCorrect, refusal: null }
  }

  async function refuse(password: string, refusal: PasswordRefusal): Promise<PasswordCheck> {
    await preferred?.run(password)
    return { isCorrect: false, refusal }
  }

  return {
    check: (password, encoded) => inTurn(() => check(password, encoded)),
    pretend: (password) => inTurn(async () => preferred?.run(password)),
  }
}

/** The name that the text begins with, if it is like those that Django and its extensions use. Source: identify_hasher. */
function algorithmOf(encoded: string): string {
  if ((encoded.length === 32 && !encoded.includes('$')) || /^md5\$\$.{32}$/.test(encoded))
    return 'unsalted_md5'
  if (/^sha1\$\$.{40}$/.test(encoded)) return 'unsalted_sha1'
  // Of any other beginning nobody knows that it is no secret.
  return (
    /^((?:argon2|bcrypt|crypt|hmac|md5|pbkdf2|phpass|scrypt|sha1|sha256|sha512|ssha|unsalted)\w{0,20})\$/.exec(
      encoded,
    )?.[1] ?? ''
  )
}

/** Runs so many tasks at once, and keeps the others waiting in their order. */
function createTurns(concurrency: number): <T>(task: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async function inTurn(task) {
    if (running < concurrency) running += 1
    else if (waiting.length < MAX_WAITING) await new Promise<void>((resolve) => waiting.push(resolve))
    else throw new PasswordsBusy(`${MAX_WAITING} passwords wait to be checked; try again`)
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
