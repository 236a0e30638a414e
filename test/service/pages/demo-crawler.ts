import assert from 'node:assert/strict'
import type { Visitor } from '../../interop/visitor.ts'

export interface CrawledPage {
  readonly status: number
  readonly title: string
  readonly html: string
}

/**
 * Follows every link of every page from `start`, and the redirects, within the same origin. Returns the pages by path.
 * `skips` says which paths are not followed.
 */
export async function crawl(
  visitor: Visitor,
  start: string,
  { skips = () => false }: { skips?: (path: string) => boolean } = {},
): Promise<Map<string, CrawledPage>> {
  const pages = new Map<string, CrawledPage>()
  const waiting = [new URL(start).href]
  for (let href = waiting.shift(); href !== undefined; href = waiting.shift()) {
    const url = new URL(href)
    const path = url.pathname + url.search
    assert.equal(url.origin, new URL(start).origin, `a link leads away: ${href}`)
    if (pages.has(path)) continue
    assert(pages.size < 500, 'the links do not end')
    const response = await visitor.fetch(href)
    const html = await response.text()
    const location = response.headers.get('Location')
    const [, title = ''] = /<title>([^<]*)<\/title>/.exec(html) ?? []
    pages.set(path, { status: response.status, title, html })
    const links = location === null ? linksOf(html) : [location]
    for (const link of links) {
      const next = new URL(link, href)
      next.hash = ''
      if (!skips(next.pathname)) waiting.push(next.href)
    }
  }
  return pages
}

/** The targets of a page's links, style sheets and images. Forms are not sent. */
function linksOf(html: string): string[] {
  return [...html.matchAll(/<(?:a|link|img)\s[^>]*?(?:href|src)="([^"]+)"/g)].map(([, link = '']) =>
    link.replaceAll('&amp;', '&'),
  )
}
