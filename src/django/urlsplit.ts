/** A URL as Python's urllib.parse.urlsplit splits it; the parts are unchanged, except for the case of the scheme. */
export interface SplitUrl {
  /** In lower case; '' if there is none. */
  readonly scheme: string
  /** The part between `//` and the path, including user and port; '' if there is none. */
  readonly netloc: string
  /** Path, query and fragment. */
  readonly rest: string
}

/**
 * Splits a URL; null where Python raises ValueError.
 * Source: CPython's Lib/urllib/parse.py, urlsplit (3.12; older ones keep leading spaces and control characters).
 */
export function urlsplit(url: string): SplitUrl | null {
  let rest = url.replace(LEADING_CONTROLS, '').replace(UNSAFE, '')
  const [scheme = ''] = SCHEME.exec(rest) ?? []
  rest = rest.slice(scheme.length)
  let netloc = ''
  if (rest.startsWith('//')) {
    ;[netloc = ''] = NETLOC.exec(rest.slice(2)) ?? []
    rest = rest.slice(2 + netloc.length)
    if (!hasValidBrackets(netloc) || isDeceptive(netloc)) return null
  }
  return { scheme: scheme.slice(0, -1).toLowerCase(), netloc, rest }
}

/** Whether brackets, if there are any, are a pair around an IP address. Source: _check_bracketed_netloc. */
function hasValidBrackets(netloc: string): boolean {
  if (!/[[\]]/.test(netloc)) return true
  const host = netloc.slice(netloc.lastIndexOf('@') + 1)
  const [, address] = /^\[([^\]]*)\](?::|$)/.exec(host) ?? []
  if (address === undefined) return false
  return (address.includes(':') && /^[\da-f:.]+(?:%|$)/i.test(address)) || /^v[\da-f]+\../i.test(address)
}

/** Whether it contains characters that NFKC turns into `/`, `?`, `#`, `@` or `:`. Source: _checknetloc. */
function isDeceptive(netloc: string): boolean {
  const plain = netloc.replace(/[@:#?]/g, '')
  const normal = plain.normalize('NFKC')
  return plain !== normal && /[/?#@:]/.test(normal)
}

const LEADING_CONTROLS = /^[\0-\x20]+/
const UNSAFE = /[\t\r\n]/g
const SCHEME = /^[a-z][a-z\d+.-]*:/i
const NETLOC = /^[^/?#]*/
