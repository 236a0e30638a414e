/** What a response gets beside its own headers. */
export interface ResponseHeaders {
  /** One more Set-Cookie header; null for none. */
  readonly setCookie: string | null
  /** Returns the new Vary header for the existing one ('' for none); null when Vary stays as it is. */
  readonly vary: ((existing: string) => string) | null
}

export const NO_HEADERS: ResponseHeaders = { setCookie: null, vary: null }
