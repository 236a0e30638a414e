import { createHmac, randomBytes } from 'node:crypto'

let secret: Buffer | null = null

/**
 * A session key is a secret: logs and traces show a short hash of it, with a new random key in each process. So a trace and
 * a log line about one session have the same hash.
 */
export function keyHash(sessionKey: string): string {
  secret ??= randomBytes(32)
  return createHmac('sha256', secret).update(sessionKey).digest('hex').slice(0, 12)
}
