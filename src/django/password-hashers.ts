import { createHash, pbkdf2, randomBytes, type ScryptOptions, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { loadingError } from '../checks/optional-package.ts'
import { type Argon2Hash, runArgon2, verifyArgon2 } from './argon2.ts'
import { constantTimeCompare } from './signing.ts'
import type { HashingCost } from './versions.ts'

/** One of Django's password formats: text of at most 128 characters that begins with the name of the algorithm. */
export interface PasswordHasher {
  readonly algorithm: string
  /** Parses the stored text; null if it is malformed. */
  read(encoded: string): StoredPassword | null
  /** Hashes once and drops the result; takes as long as hashing a new password. */
  run(password: string): Promise<void>
}

/** A parsed password hash. */
export interface StoredPassword {
  /** Whether its parameters need more work than those of any Django version; such a hash is not verified. */
  readonly isTooCostly: boolean
  /** Null if the parameters, salt or hash turn out to be malformed. */
  verify(password: string): Promise<boolean | null>
  /** Does the work by which this hash is cheaper than a new one. Source: harden_runtime. */
  harden(password: string): Promise<void>
}

/** Returns Django's hashers by class name. All run outside the event loop. Source: django/contrib/auth/hashers.py. */
export function passwordHashers(cost: HashingCost): ReadonlyMap<string, PasswordHasher> {
  return new Map([
    ['PBKDF2PasswordHasher', pbkdf2Hasher('pbkdf2_sha256', { digest: 'sha256', bytes: 32, cost })],
    ['PBKDF2SHA1PasswordHasher', pbkdf2Hasher('pbkdf2_sha1', { digest: 'sha1', bytes: 20, cost })],
    ['Argon2PasswordHasher', argon2Hasher(cost)],
    ['BCryptSHA256PasswordHasher', bcryptHasher('bcrypt_sha256', { prepare: sha256Hex, cost })],
    ['BCryptPasswordHasher', bcryptHasher('bcrypt', { prepare: (password) => password, cost })],
    ['ScryptPasswordHasher', scryptHasher(cost)],
  ])
}

/** About ten times the work of Django's own parameters: a row must not be able to occupy a processor for minutes. */
const LIMITS = {
  pbkdf2Iterations: 15_000_000,
  argon2MemoryKib: 1024 ** 2,
  /** KiB × passes. */
  argon2Work: 4 * 1024 ** 2,
  argon2Parallelism: 64,
  bcryptRounds: 16,
  scryptMemoryBytes: 256 * 1024 ** 2,
  /** N × r × p. */
  scryptWork: 2 ** 23,
} as const

const SALT_BYTES = 16

function pbkdf2Hasher(
  algorithm: string,
  { digest, bytes, cost }: { digest: 'sha1' | 'sha256'; bytes: number; cost: HashingCost },
): PasswordHasher {
  const derive = async (password: string, salt: string, iterations: number) =>
    (await promisify(pbkdf2)(password, salt, iterations, bytes, digest)).toString('base64')
  const run = async (password: string, iterations: number, salt = randomSalt()) =>
    void (await derive(password, salt, iterations))
  return {
    algorithm,
    read(encoded) {
      const [, iterationsText = '', salt = '', hash = ''] =
        /^\w+\$([1-9]\d{0,9})\$([^$]+)\$([\w+/]+=*)$/.exec(encoded) ?? []
      if (hash === '') return null
      const iterations = Number(iterationsText)
      const missing = cost.pbkdf2Iterations - iterations
      return {
        isTooCostly: iterations > LIMITS.pbkdf2Iterations,
        verify: async (password) => constantTimeCompare(hash, await derive(password, salt, iterations)),
        harden: async (password) => (missing > 0 ? run(password, missing, salt) : undefined),
      }
    },
    run: (password) => run(password, cost.pbkdf2Iterations),
  }
}

function argon2Hasher({ argon2: cost }: HashingCost): PasswordHasher {
  return {
    algorithm: 'argon2',
    read(encoded) {
      const { variety, version, memory, time, lanes, salt, hash } = ARGON2.exec(encoded)?.groups ?? {}
      if (salt === undefined || hash === undefined) return null
      const [memoryCost, timeCost, parallelism] = [Number(memory), Number(time), Number(lanes)]
      const stored: Argon2Hash = {
        variety: variety as Argon2Hash['variety'],
        // Before Argon2 1.3 the text did not contain the version (phc-winner-argon2, src/encoding.c).
        version: version === '19' ? 19 : 16,
        memoryCost,
        timeCost,
        parallelism,
        salt,
        hash,
      }
      return {
        isTooCostly:
          memoryCost > LIMITS.argon2MemoryKib ||
          memoryCost * timeCost > LIMITS.argon2Work ||
          parallelism > LIMITS.argon2Parallelism,
        verify: (password) => verifyArgon2(password, stored),
        harden: nothingToHarden,
      }
    },
    run: (password) => runArgon2(password, cost),
  }
}

const ARGON2 =
  /^argon2\$(?<variety>argon2(?:id|i|d))(?:\$v=(?<version>16|19))?\$m=(?<memory>[1-9]\d{0,9}),t=(?<time>[1-9]\d{0,9}),p=(?<lanes>[1-9]\d{0,7})\$(?<salt>[\w+/]+)\$(?<hash>[\w+/]+)$/

function bcryptHasher(
  algorithm: string,
  { prepare, cost }: { prepare: (password: string) => string; cost: HashingCost },
): PasswordHasher {
  // A comparison costs what hashing does. The parameters of `hash` are others since @node-rs/bcrypt 2.
  const run = async (password: string, rounds: number) => {
    const crypt = `$2b$${String(rounds).padStart(2, '0')}$${'.'.repeat(53)}`
    await (await loadBcrypt()).verify(prepare(password), crypt)
  }
  return {
    algorithm,
    read(encoded) {
      const [, crypt = '', roundsText] = /^\w+\$(\$2[aby]\$(\d\d)\$[\w./]{53})$/.exec(encoded) ?? []
      const rounds = Number(roundsText)
      if (!(rounds >= 4 && rounds <= 31)) return null
      return {
        isTooCostly: rounds > LIMITS.bcryptRounds,
        // Python's bcrypt rejects a NUL; in other implementations it ends the password.
        verify: async (password) =>
          !prepare(password).includes('\0') && (await loadBcrypt()).verify(prepare(password), crypt),
        async harden(password) {
          // 2^12 - 2^rounds rounds in all, in several runs as in Django.
          for (let missing = rounds; missing < cost.bcryptRounds; missing += 1) await run(password, missing)
        },
      }
    },
    run: (password) => run(password, cost.bcryptRounds),
  }
}

/** Loaded when first needed: many sites have no such passwords, and the package contains native code. */
async function loadBcrypt(): Promise<typeof import('@node-rs/bcrypt')> {
  try {
    return await import('@node-rs/bcrypt')
  } catch (error) {
    throw loadingError(error, '@node-rs/bcrypt', 'to verify bcrypt passwords')
  }
}

function sha256Hex(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}

function scryptHasher({ scrypt: cost }: HashingCost): PasswordHasher {
  const derive = async (password: string, salt: string, options: ScryptOptions) =>
    (await deriveScrypt(password, salt, options)).toString('base64')
  return {
    algorithm: 'scrypt',
    read(encoded) {
      const [, workFactor, salt = '', blockSize, parallelism, hash = ''] =
        /^\w+\$([1-9]\d{0,9})\$([^$]+)\$([1-9]\d{0,9})\$([1-9]\d{0,9})\$([\w+/]+=*)$/.exec(encoded) ?? []
      const [N, r, p] = [Number(workFactor), Number(blockSize), Number(parallelism)]
      if (hash === '' || N < 2 || !Number.isInteger(Math.log2(N))) return null
      return {
        isTooCostly: 128 * N * r > LIMITS.scryptMemoryBytes || N * r * p > LIMITS.scryptWork,
        verify: async (password) => constantTimeCompare(hash, await derive(password, salt, { N, r, p })),
        harden: nothingToHarden,
      }
    },
    async run(password) {
      await derive(password, randomSalt(), cost)
    },
  }
}

function deriveScrypt(password: string, salt: string, options: ScryptOptions): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const maxmem = 2 * LIMITS.scryptMemoryBytes // leaves room for the p blocks
  scrypt(password, salt, 64, { ...options, maxmem }, (error, key) => (error ? reject(error) : resolve(key)))
  return promise
}

function randomSalt(): string {
  return randomBytes(SALT_BYTES).toString('hex')
}

/** Django does not harden these algorithms either. */
async function nothingToHarden(): Promise<void> {}
