/** By which path Django chooses a view. Source: django/core/handlers/wsgi.py, get_path_info; PEP 3333. */

/**
 * The path of a request's target as Django's resolver sees it: up to the query, percent-decoded once, as UTF-8.
 * Unlike Django, which keeps bytes that are not UTF-8 percent-encoded, has U+FFFD for them: no page of ours has either.
 * @param target in origin form: `/path?query`
 */
export function pathInfo(target: string): string {
  const [path = ''] = target.split('?', 1)
  if (!path.includes('%')) return path
  const bytes = path.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString()
}

/**
 * The path that the most lenient server before Django would make of this target. gunicorn cuts the path at `#`, Python's
 * http.server joins slashes at the start, nginx and Apache join all of them and resolve dot segments; a site's
 * `re_path(r'…$')` overlooks a newline at the end. Control characters are left out, and a backslash is a slash.
 * @param target in origin form: `/path?query`
 */
export function lenientPath(target: string): string {
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

/** Whether servers agree on the path of this target: it has no encoded slash. */
export function isUnambiguous(target: string): boolean {
  return !/^[^?]*%2f/i.test(target)
}

const CONTROLS = /\p{Cc}/gu
const EMPTY: ReadonlySet<string> = new Set(['', '.'])
