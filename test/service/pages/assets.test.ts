import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { startLibrary } from '../../support/library.ts'

const FILES = [
  { file: 'styles.css', pattern: /<link rel="stylesheet" href="([^"]+)">/, type: 'text/css; charset=utf-8' },
  { file: 'icon.svg', pattern: /<link rel="icon" href="([^"]+)"/, type: 'image/svg+xml' },
]

for (const { file, pattern, type } of FILES) {
  test(`${file} is served under a URL with a hash of its content, cacheable for a year`, async (t) => {
    const { url } = await startLibrary(t)
    const href = pattern.exec(await (await fetch(`${url}/catalog/`)).text())?.[1] ?? ''
    const content = readFileSync(new URL(`../../../templates/assets/${file}`, import.meta.url))
    t.true(href.includes(createHash('sha256').update(content).digest('base64url').slice(0, 16)))
    t.false(/^\/(?:static|media|catalog|accounts|admin)\//.test(href)) // paths of Django on the same host name

    const response = await fetch(url + href)
    t.is(response.status, 200)
    t.is(response.headers.get('Content-Type'), type)
    t.is(response.headers.get('Cache-Control'), 'public, max-age=31536000, immutable')
    t.deepEqual(Buffer.from(await response.arrayBuffer()), content)

    const etag = response.headers.get('ETag') ?? ''
    const again = await fetch(url + href, {
      headers: { 'If-None-Match': etag, 'Cache-Control': 'max-age=0' },
    })
    t.is(again.status, 304)
    t.is(await again.text(), '')
    t.is(again.headers.get('ETag'), etag)
  })
}

test('an asset sets no cookie, even when every request saves the session', async (t) => {
  const { url } = await startLibrary(t, { session: { saveEveryRequest: true } })
  const home = await fetch(`${url}/catalog/`)
  const cookie = home.headers.get('Set-Cookie')?.split(';')[0] ?? ''
  const [, href] = /<link rel="stylesheet" href="([^"]+)">/.exec(await home.text()) ?? []
  const { headers } = await fetch(`${url}${href}`, { headers: { Cookie: cookie } })
  t.is(headers.get('Set-Cookie'), null)
  t.is(headers.get('Vary'), null)
})

test('an asset of another version is a 404 that caches do not store', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/koa-assets/styles.0000000000000000.css`)
  t.is(response.status, 404)
  t.is(response.headers.get('Cache-Control'), 'no-store')
})
