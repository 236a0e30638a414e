import test from 'ava'
import type { Page } from 'playwright-core'
import { startSites } from '../interop/sites.ts'
import { artefact, openBrowser } from '../support/browser.ts'
import { runSql, testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'

const database = testDatabases[0] ?? 'sqlite'
const oldest = djangoVersions[0] ?? ''
const newest = djangoVersions.at(-1) ?? ''

async function visit(page: Page, url: string): Promise<string> {
  await page.goto(url)
  const [, visits = ''] = /You have visited this page (.+?)\./.exec(await page.innerText('body')) ?? []
  return visits
}

/** Books 2, copies 3, copies available 1, authors 1. */
const LIBRARY = [
  "INSERT INTO catalog_author (id, first_name, last_name) VALUES (1, '이', '상')",
  "INSERT INTO catalog_book (id, title, summary, isbn, author_id) VALUES (1, '날개', '-', '1', 1), (2, '거울', '-', '2', 1)",
  `INSERT INTO catalog_bookinstance (id, imprint, status, book_id)
    VALUES ('${'1'.repeat(32)}', '-', 'a', 1), ('${'2'.repeat(32)}', '-', 'o', 1), ('${'3'.repeat(32)}', '-', 'm', 2)`,
]

/** The four counts, in the order of the page. */
async function counts(page: Page): Promise<number[]> {
  const text = await page.innerText('body')
  return ['Books', 'Copies', 'Copies available', 'Authors'].map((name) =>
    Number(new RegExp(`^${name}:?\\s+(\\d+)$`, 'm').exec(text)?.[1]),
  )
}

for (const version of new Set([oldest, newest])) {
  test.serial(
    `a browser that alternates between Django ${version} and this service sees one count`,
    async (t) => {
      t.timeout(110_000)
      const { django, ours, databaseUrl } = await startSites(t, { version, database })
      for (const statement of LIBRARY) await runSql(databaseUrl, statement)
      const browser = await openBrowser(t)
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
      const page = await context.newPage()
      t.is(await visit(page, `${django}/catalog/`), '1 time')
      t.deepEqual(await counts(page), [2, 3, 1, 1])
      t.is(await visit(page, `${ours}/catalog/`), '2 times')
      t.deepEqual(await counts(page), [2, 3, 1, 1])
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
    },
  )
}

test.serial('the page is the same without JavaScript, also on a phone', async (t) => {
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
