import { createHmac, randomBytes } from 'node:crypto'

let secret: Buffer | null = null

/** A session key is a secret: a log shows a short hash of it, with a new random key in each process. */
export function keyHash(sessionKey: string): string {
  secret ??= randomBytes(32)
  return createHmac('sha256', secret).update(sessionKey).digest('hex').slice(0, 12)
}
