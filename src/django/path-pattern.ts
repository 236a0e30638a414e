/** Paths in the syntax of Django's `path()`. Source: django/urls/resolvers.py, _route_to_regex; django/urls/converters.py. */

/** Returns why a text is not a valid pattern, or one that is too expensive to match; null if it is valid. */
export function pathPatternProblem(pattern: string): string | null {
  if (!pattern.startsWith('/')) return 'it does not begin with /'
  if (/[<>\s]/.test(pattern.replace(CONVERTER, '')))
    return 'it is not in the syntax of path(), such as /accounts/reset/<uidb64>/<token>/'
  const converters = [...pattern.matchAll(CONVERTER)].map(([, name = 'str']) => name)
  if (!converters.every((name) => CONVERTERS.has(name)))
    return `it uses another converter than ${[...CONVERTERS.keys()].join(', ')}`
  // Each further converter in a segment would multiply the matching time by the length of the path.
  if (pattern.split('/').some((segment) => [...segment.matchAll(CONVERTER)].length > 1))
    return 'it has more than one converter between two slashes'
  return converters.filter((name) => name === 'path').length > 1
    ? 'it has more than one path converter'
    : null
}

/** Compiles a pattern to an expression that matches a whole path. @param pattern valid, by pathPatternProblem */
export function compilePathPattern(pattern: string): RegExp {
  let source = ''
  let end = 0
  for (const match of pattern.matchAll(CONVERTER)) {
    source += escaped(pattern.slice(end, match.index)) + CONVERTERS.get(match[1] ?? 'str')
    end = match.index + match[0].length
  }
  return new RegExp(`^${source}${escaped(pattern.slice(end))}$`, 'su')
}

const CONVERTER = /<(?:([^>:\s]+):)?[^\W\d]\w*>/g

const CONVERTERS: ReadonlyMap<string, string> = new Map([
  ['str', '[^/]+'],
  ['int', '[0-9]+'],
  ['slug', '[-a-zA-Z0-9_]+'],
  ['uuid', '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'],
  ['path', '.+'],
])

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
