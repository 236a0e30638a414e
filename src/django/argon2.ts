/**
 * Argon2 by Node itself (24.7 or newer, with OpenSSL 3.2), else by @node-rs/argon2. Node computes version 1.3 only, so
 * hashes of the older version 1.0 always need the package.
 */
// A default import: an older Node lacks `argon2`, and a named import would fail.
import crypto from 'node:crypto'
import { loadingError } from '../checks/optional-package.ts'

/** The parameters of Argon2, as the text of a hash has them. */
export interface Argon2Hash {
  readonly variety: 'argon2id' | 'argon2i' | 'argon2d'
  /** 19 is Argon2 1.3, 16 is Argon2 1.0. */
  readonly version: 16 | 19
  /** KiB. */
  readonly memoryCost: number
  readonly timeCost: number
  readonly parallelism: number
  /** Base64 without padding, as the hash. */
  readonly salt: string
  readonly hash: string
}

/** Whether the password has this hash; null if salt, hash or a parameter is not allowed. */
export async function verifyArgon2(password: string, stored: Argon2Hash): Promise<boolean | null> {
  const { variety, version, memoryCost, timeCost, parallelism, salt, hash } = stored
  if (version !== 19 || !isInNode()) {
    const phc = `$${variety}$v=${version}$m=${memoryCost},t=${timeCost},p=${parallelism}$${salt}$${hash}`
    return nullIfInvalid((await loadPackage()).verify(phc, password))
  }
  const nonce = bytesOf(salt)
  const expected = bytesOf(hash)
  if (nonce === null || expected === null) return null
  // RFC 9106, section 3.1; a shorter salt is refused by Python's argon2-cffi as well.
  if (nonce.length < 8 || expected.length < 4 || memoryCost < 8 * parallelism) return null
  const options = { memoryCost, timeCost, parallelism }
  const found = await derive(variety, { password, nonce, tagLength: expected.length, options })
  return crypto.timingSafeEqual(found, expected)
}

/** Hashes once with a new salt, and drops the result. */
export async function runArgon2(password: string, options: Argon2Cost): Promise<void> {
  if (isInNode())
    await derive('argon2id', { password, nonce: crypto.randomBytes(16), tagLength: 32, options })
  else await (await loadPackage()).hash(password, { ...options })
}

type Argon2Cost = Pick<Argon2Hash, 'memoryCost' | 'timeCost' | 'parallelism'>

/** False also for a Node whose OpenSSL has no Argon2: the function is there, but throws. */
function isInNode(): boolean {
  nodeHasIt ??= tryNode()
  return nodeHasIt
}

let nodeHasIt: boolean | undefined

function tryNode(): boolean {
  try {
    const least = { nonce: Buffer.alloc(8), parallelism: 1, tagLength: 4, memory: 8, passes: 1 }
    crypto.argon2Sync('argon2id', { message: '', ...least })
    return true
  } catch {
    return false
  }
}

function derive(
  variety: Argon2Hash['variety'],
  {
    password,
    nonce,
    tagLength,
    options,
  }: { password: string; nonce: Buffer; tagLength: number; options: Argon2Cost },
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const { memoryCost: memory, timeCost: passes, parallelism } = options
  const parameters = { message: password, nonce, tagLength, memory, passes, parallelism }
  crypto.argon2(variety, parameters, (error, key) => (error === null ? resolve(key) : reject(error)))
  return promise
}

/** Null for base64 that is not in its one canonical form, e.g. with excess bits. */
function bytesOf(base64: string): Buffer | null {
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64').replace(/=+$/, '') === base64 ? bytes : null
}

/** Loaded when first needed: many sites have no such passwords, and the package contains native code. */
async function loadPackage(): Promise<typeof import('@node-rs/argon2')> {
  try {
    return await import('@node-rs/argon2')
  } catch (error) {
    throw loadingError(error, '@node-rs/argon2', 'to verify Argon2 passwords')
  }
}

/** Null where the package throws because it cannot parse the text. */
async function nullIfInvalid(verifying: Promise<boolean>): Promise<boolean | null> {
  try {
    return await verifying
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'InvalidArg') return null
    throw error
  }
}
