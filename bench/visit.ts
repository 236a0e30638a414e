/** The values on a target's home page, in the markup of the service or of LocalLibrary. */
export interface Page {
  readonly books: number
  readonly copies: number
  readonly copiesAvailable: number
  readonly authors: number
  readonly numVisits: number
  /** The visitor's cookie afterwards, as `name=value`. */
  readonly cookie: string
}

/**
 * Requests a page of a target on a connection of its own: a server closes a kept one that was idle (Express after 5
 * seconds), and a client that is busy at that time would send its next request on it, and fail.
 */
export function request(port: number, { path = '/catalog/', cookie = '' } = {}): Promise<Response> {
  const headers = { connection: 'close', ...(cookie !== '' && { cookie }) }
  return fetch(`http://127.0.0.1:${port}${path}`, { headers })
}

/** Requests the home page. @throws Error if the answer is another page. */
export async function visit(port: number, cookie = ''): Promise<Page> {
  const response = await request(port, { cookie })
  const html = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} instead of the home page`)
  const number = (pattern: RegExp): number => {
    const [, digits] = pattern.exec(html) ?? []
    if (digits === undefined) throw new Error(`the page has no ${pattern.source}`)
    return Number(digits)
  }
  const count = (label: string): number => number(new RegExp(`${label}:?</(?:dt|strong)>(?:<dd>)?\\s*(\\d+)`))
  return {
    books: count('Books'),
    copies: count('Copies'),
    copiesAvailable: count('Copies available'),
    authors: count('Authors'),
    numVisits: number(/visited this page (\d+) time/),
    cookie: response.headers.get('Set-Cookie')?.split(';')[0] ?? cookie,
  }
}
