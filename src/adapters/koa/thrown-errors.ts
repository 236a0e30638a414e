import type { ParameterizedContext } from 'koa'

/** The status with which Koa answers this error. */
export function statusOf(error: unknown): number {
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  return typeof status === 'number' ? status : 500
}

/**
 * When Koa answers an error, it drops all headers but those on the error itself. They are put there, not enumerable: a
 * cookie must not get into a log with the error.
 */
export function withHeaders(error: unknown, ctx: ParameterizedContext): unknown {
  if (!(error instanceof Error)) return error
  const ours: Record<string, string | string[]> = {}
  for (const name of ['set-cookie', 'vary'] as const) {
    const value = ctx.response.headers[name]
    if (value !== undefined) ours[name] = value
  }
  const headers = 'headers' in error && typeof error.headers === 'object' ? error.headers : {}
  return Object.defineProperty(error, 'headers', { value: { ...headers, ...ours }, enumerable: false })
}
