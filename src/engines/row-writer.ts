import type { SessionWriter } from '../session/engine.ts'

/**
 * Says who saved a row by the text of its `expire_date`, such as `2031-02-03 04:05:06.123456+00`. Django's clock counts
 * microseconds, JavaScript's milliseconds: the last three digits of an `expire_date` of ours are zeros, and those of Django
 * are in 999 of 1000 rows not. A date without a fraction does not tell.
 */
export function writerOf(expireDate: string): SessionWriter {
  const [, milliseconds, microseconds] = /\.(\d{1,3})(\d{0,3})/.exec(expireDate) ?? []
  if (Number(microseconds) > 0) return 'django'
  return Number(milliseconds) > 0 ? 'here' : 'unknown'
}
