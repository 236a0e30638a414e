import { createHash } from 'node:crypto'

/** Signs the challenge of MariaDB's plugin `ed25519`. The first signature takes a few hundredths of a second. */
export interface PasswordSigner {
  sign(message: Uint8Array): Buffer
  /** The value that MariaDB stores for the password, before base64: `SELECT ed25519_password('…')`. */
  publicKey(): Buffer
}

/**
 * Creates a signer whose key is a password, as MariaDB's plugin `client_ed25519` has it. Node's own Ed25519 takes keys of
 * exactly 32 bytes; here the password, of any length, is the key.
 * Source: MariaDB's libmariadb/plugins/auth/ref10/sign.c; RFC 8032, 5.1.6.
 */
export function createPasswordSigner(password: string): PasswordSigner {
  let made: Key | null = null
  const key = (): Key => {
    made ??= keyOf(password)
    return made
  }
  return {
    publicKey: () => key().publicKey,
    sign(message) {
      const { scalar, prefix, publicKey } = key()
      const nonce = littleEndian(sha512(prefix, message)) % ORDER
      const commitment = encode(multiply(BASE, nonce))
      const challenge = littleEndian(sha512(commitment, publicKey, message)) % ORDER
      return Buffer.concat([commitment, bytesOf((nonce + challenge * scalar) % ORDER)])
    },
  }
}

interface Key {
  readonly scalar: bigint
  readonly prefix: Buffer
  readonly publicKey: Buffer
}

/** RFC 8032, 5.1.5. */
function keyOf(password: string): Key {
  const hash = sha512(Buffer.from(password))
  const half = hash.subarray(0, 32)
  half[0] = (half[0] ?? 0) & 0xf8
  half[31] = ((half[31] ?? 0) & 0x3f) | 0x40
  const scalar = littleEndian(half)
  return { scalar, prefix: hash.subarray(32), publicKey: encode(multiply(BASE, scalar)) }
}

/** A point of the curve in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z. */
type Point = readonly [X: bigint, Y: bigint, Z: bigint, T: bigint]

const PRIME = 2n ** 255n - 19n
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n
const X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n
const Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960n
const BASE: Point = [X, Y, 1n, modulo(X * Y)]
const NEUTRAL: Point = [0n, 1n, 1n, 0n]

/** RFC 8032, 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = modulo((y1 - x1) * (y2 - x2))
  const b = modulo((y1 + x1) * (y2 + x2))
  const c = modulo(2n * D * t1 * t2)
  const d = modulo(2n * z1 * z2)
  const [e, f, g, h] = [b - a, d - c, d + c, b + a]
  return [modulo(e * f), modulo(g * h), modulo(f * g), modulo(e * h)]
}

/** The number of steps and additions does not depend on the factor. */
function multiply(point: Point, factor: bigint): Point {
  let [result, sum] = [NEUTRAL, point]
  for (let bit = 255n; bit >= 0n; bit -= 1n) {
    const isSet = ((factor >> bit) & 1n) === 1n
    const between = add(result, sum)
    const doubled = add(isSet ? sum : result, isSet ? sum : result)
    ;[result, sum] = isSet ? [between, doubled] : [doubled, between]
  }
  return result
}

/** RFC 8032, 5.1.2. */
function encode([x, y, z]: Point): Buffer {
  const inverse = power(z, PRIME - 2n)
  const bytes = bytesOf(modulo(y * inverse))
  if (modulo(x * inverse) % 2n === 1n) bytes[31] = (bytes[31] ?? 0) | 0x80
  return bytes
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let [square, rest] = [base, exponent]; rest > 0n; rest >>= 1n, square = modulo(square * square))
    if (rest % 2n === 1n) result = modulo(result * square)
  return result
}

function modulo(number: bigint): bigint {
  const rest = number % PRIME
  return rest < 0n ? rest + PRIME : rest
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}

function bytesOf(number: bigint): Buffer {
  return Buffer.from(number.toString(16).padStart(64, '0'), 'hex').reverse()
}

function sha512(...parts: Uint8Array[]): Buffer {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
