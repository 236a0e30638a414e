import assert from 'node:assert/strict'

/** One browser: cookies ignore ports, so Django's site and ours on 127.0.0.1 share them. */
export interface Visitor {
  /** Fetches with the cookies, stores received ones, and does not follow redirects. */
  fetch(url: string, init?: RequestInit): Promise<Response>
  /** Opens a site's home page; returns the number of visits that it shows. */
  visit(site: string): Promise<number>
  /** The value of a cookie, or undefined. */
  cookie(name?: string): string | undefined
  /** Sets a cookie, as if the browser had received it before. */
  setCookie(value: string, name?: string): void
}

export function createVisitor(): Visitor {
  const cookies = new Map<string, { value: string; path: string }>()

  async function visitorFetch(url: string, init: RequestInit = {}): Promise<Response> {
    const { pathname } = new URL(url)
    const sent = [...cookies].filter(([, { path }]) => pathname.startsWith(path))
    const headers = new Headers(init.headers)
    if (sent.length > 0) headers.set('Cookie', sent.map(([name, { value }]) => `${name}=${value}`).join('; '))
    const response = await fetch(url, { redirect: 'manual', ...init, headers })
    for (const text of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(text) ?? []
      const path = /; Path=([^;]+)/.exec(text)?.[1] ?? '/'
      if (/; Max-Age=(0|-\d+)(;|$)/.test(text)) cookies.delete(name)
      else cookies.set(name, { value, path })
    }
    return response
  }

  return {
    fetch: visitorFetch,
    async visit(site) {
      const response = await visitorFetch(`${site}/catalog/`)
      const page = await response.text()
      assert.equal(response.status, 200, page)
      const [, visits] = /You have visited this page (\S+) times?\./.exec(page) ?? []
      assert(visits, page)
      return Number(visits)
    },
    cookie: (name = 'sessionid') => cookies.get(name)?.value,
    setCookie: (value, name = 'sessionid') => void cookies.set(name, { value, path: '/' }),
  }
}
