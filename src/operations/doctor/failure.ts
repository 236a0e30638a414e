import type { Result } from './check.ts'

/**
 * The failure that an error of ours explains: each line of its message says what was wrong and, after a semicolon, what to do.
 * @throws any other error
 */
export function failure(error: unknown): Result {
  if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_'))) throw error
  const lines = error.message.split('\n').map((line) => /^(.*?)(?:; (.*))?$/.exec(line) ?? [])
  const [read, hint] = [1, 2].map((part) => lines.map((line) => line[part]).filter((text) => text))
  return { outcome: 'failed', read: read?.join(', ') ?? '', hint: hint?.join('; ') ?? '' }
}
