import { pathInfo } from '../../django/path-info.ts'
import { compilePathPattern } from '../../django/path-pattern.ts'

/** Returns what the log shows of the path of a target that this service does not serve. */
export type PathLabel = (target: string) => string

/**
 * Paths may contain secrets, such as the token of Django's password reset. So the log shows only the first segment, if
 * it is a short word, and `…` for the rest; or the pattern of `patterns` (LOG_PATHS) that the path matches.
 */
export function createPathLabel(patterns: readonly string[] = []): PathLabel {
  const matchers = patterns.map((pattern) => ({ pattern, matches: compilePathPattern(pattern) }))
  return (target) => {
    const path = pathInfo(target.replace(ABSOLUTE, ''))
    if (path.length <= MATCHED_LENGTH) {
      for (const { pattern, matches } of matchers) if (matches.test(path)) return pattern
    }
    const [, first = '', rest = ''] = /^\/([^/]*)(.*)$/s.exec(path) ?? []
    if (first === '' && rest === '') return path === '/' ? '/' : HIDDEN
    if (!WORD.test(first)) return `/${HIDDEN}`
    return rest === '' || rest === '/' ? `/${first}${rest}` : `/${first}/${HIDDEN}`
  }
}

const HIDDEN = '…'

/** Longer paths are not matched, which bounds the cost of matching. */
const MATCHED_LENGTH = 1000

/** Shorter than a key or a token. */
const WORD = /^[a-z][\w-]{0,19}$/i

/** `http://host` of a target in absolute form. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i
