/** The path by which Django chooses a view. Source: django/core/handlers/wsgi.py, get_path_info; PEP 3333. */

/**
 * Returns the path of a request target as Django's resolver sees it: without the query, percent-decoded once, as UTF-8.
 * Unlike Django, which keeps bytes that are not UTF-8 percent-encoded, they become U+FFFD; no page here has such a path.
 * @param target in origin form: `/path?query`
 */
export function pathInfo(target: string): string {
  const end = target.indexOf('?')
  const path = end === -1 ? target : target.slice(0, end)
  if (!path.includes('%')) return path
  const bytes = path.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString()
}

/**
 * Returns the path that the most lenient server in front of Django would derive from this target. gunicorn cuts the path
 * at `#`. Python's http.server merges slashes at the start; nginx and Apache merge all slashes and resolve dot segments. A
 * site's `re_path(r'…$')` ignores a newline at the end. Control characters are removed; a backslash counts as a slash.
 * @param target in origin form: `/path?query`
 */
export function lenientPath(target: string): string {
  if (PLAIN.test(target)) return target
  const [path = ''] = target.split(/[?#]/, 1)
  const segments = pathInfo(path).replace(CONTROLS, '').split(/[/\\]/)
  const kept: string[] = []
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (!EMPTY.has(segment)) kept.push(segment)
  }
  const last = segments.at(-1) ?? ''
  const isFolder = kept.length > 0 && (last === '..' || EMPTY.has(last))
  return `/${kept.join('/')}${isFolder ? '/' : ''}`
}

/** Whether all servers agree on the path of this target, because it contains no encoded slash. */
export function isUnambiguous(target: string): boolean {
  return !/^[^?]*%2f/i.test(target)
}

/** A path that every server reads as it is. */
const PLAIN = /^\/(?:[\w-][\w.-]*\/)*(?:[\w-][\w.-]*)?$/

const CONTROLS = /\p{Cc}/gu
const EMPTY: ReadonlySet<string> = new Set(['', '.'])
