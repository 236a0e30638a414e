import test from 'ava'
import type { Page } from 'playwright-core'
import { startSites } from '../interop/sites.ts'
import { artefact, openBrowser } from '../support/browser.ts'
import { testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'

const database = testDatabases[0] ?? 'sqlite'
const oldest = djangoVersions[0] ?? ''
const newest = djangoVersions.at(-1) ?? ''

async function visit(page: Page, url: string): Promise<string> {
  await page.goto(url)
  const [, visits = ''] = /You have visited this page (.+?)\./.exec(await page.innerText('body')) ?? []
  return visits.replace('time(s)', 'times')
}

for (const version of new Set([oldest, newest])) {
  test(`a browser that alternates between Django ${version} and ours sees one count`, async (t) => {
    t.timeout(110_000)
    const { django, ours } = await startSites(t, { version, database })
    const browser = await openBrowser(t)
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const page = await context.newPage()
    t.is(await visit(page, `${django}/catalog/`), '1 time')
    t.is(await visit(page, `${ours}/catalog/`), '2 times')
    t.is(await visit(page, `${ours}/`), '3 times')
    t.is(await visit(page, `${django}/catalog/`), '4 times')
    await page.screenshot({ path: artefact(`django-${version}.png`) })
    t.is(await visit(page, `${ours}/catalog/`), '5 times')
    await page.screenshot({ path: artefact(`ours-beside-django-${version}.png`) })
    const cookies = await context.cookies()
    t.deepEqual(
      cookies.map(({ name, httpOnly, sameSite, path }) => ({ name, httpOnly, sameSite, path })),
      [{ name: 'sessionid', httpOnly: true, sameSite: 'Lax', path: '/' }],
    )
  })
}

test('the page is the same without JavaScript, on a phone too', async (t) => {
  t.timeout(110_000)
  const { ours } = await startSites(t, { version: newest, database })
  const browser = await openBrowser(t)
  const context = await browser.newContext({
    javaScriptEnabled: false,
    viewport: { width: 360, height: 740 },
  })
  const page = await context.newPage()
  t.is(await visit(page, `${ours}/catalog/`), '1 time')
  t.is(await visit(page, `${ours}/catalog/`), '2 times')
  await page.screenshot({ path: artefact('ours-phone.png') })
  t.deepEqual(await page.locator('dt').allInnerTexts(), ['Books', 'Copies', 'Copies available', 'Authors'])
})
