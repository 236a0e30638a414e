/** What a response gets beside its own headers. */
export interface ResponseHeaders {
  /** One more Set-Cookie header; null for none. */
  readonly setCookie: string | null
  /** Returns the new Vary header for the existing one ('' for none); null when Vary stays as it is. */
  readonly vary: ((existing: string) => string) | null
}

export const NO_HEADERS: ResponseHeaders = { setCookie: null, vary: null }

/** The headers of a response that is not sent yet, as the Web's `Headers` and Koa's response have them. */
export interface HeaderStore {
  /** The header's value; undefined, null or '' without one. */
  get(name: string): unknown
  set(name: string, value: string): unknown
  append(name: string, value: string): unknown
}

/** Adds these headers to the response. */
export function addHeaders(response: HeaderStore, headers: readonly ResponseHeaders[]): void {
  for (const { setCookie, vary } of headers) {
    if (setCookie !== null) response.append('Set-Cookie', setCookie)
    if (vary !== null) response.set('Vary', vary(String(response.get('Vary') ?? '')))
  }
}
