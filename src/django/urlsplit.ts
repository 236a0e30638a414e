/** A URL as Python's urllib.parse.urlsplit takes it apart; the parts are verbatim but for the scheme's case. */
export interface SplitUrl {
  /** In lower case; '' when there is none. */
  readonly scheme: string
  /** What stands between `//` and the path, user and port included; '' when there is none. */
  readonly netloc: string
  /** Path, query and fragment. */
  readonly rest: string
}

/**
 * Source: CPython's Lib/urllib/parse.py, urlsplit (3.12; older ones keep blanks and control characters at the start).
 * Null where Python raises ValueError.
 */
export function urlsplit(url: string): SplitUrl | null {
  let rest = url.replace(LEADING_CONTROLS, '').replace(UNSAFE, '')
  const [scheme = ''] = SCHEME.exec(rest) ?? []
  rest = rest.slice(scheme.length)
  let netloc = ''
  if (rest.startsWith('//')) {
    ;[netloc = ''] = NETLOC.exec(rest.slice(2)) ?? []
    rest = rest.slice(2 + netloc.length)
    if (!isBracketed(netloc) || isDeceptive(netloc)) return null
  }
  return { scheme: scheme.slice(0, -1).toLowerCase(), netloc, rest }
}

/** Brackets come in pairs, if at all, and around an address only. Source: _check_bracketed_netloc. */
function isBracketed(netloc: string): boolean {
  if (!/[[\]]/.test(netloc)) return true
  const host = netloc.slice(netloc.lastIndexOf('@') + 1)
  const [, address] = /^\[([^\]]*)\](?::|$)/.exec(host) ?? []
  if (address === undefined) return false
  return (address.includes(':') && /^[\da-f:.]+(?:%|$)/i.test(address)) || /^v[\da-f]+\../i.test(address)
}

/** Characters that a browser might take for `/`, `?`, `#`, `@` or `:`. Source: _checknetloc. */
function isDeceptive(netloc: string): boolean {
  const plain = netloc.replace(/[@:#?]/g, '')
  const normal = plain.normalize('NFKC')
  return plain !== normal && /[/?#@:]/.test(normal)
}

const LEADING_CONTROLS = /^[\0-\x20]+/
const UNSAFE = /[\t\r\n]/g
const SCHEME = /^[a-z][a-z\d+.-]*:/i
const NETLOC = /^[^/?#]*/
