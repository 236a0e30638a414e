/** The pages that only the embedded demo has. */
import test, { type ExecutionContext } from 'ava'
import axe from 'axe-core'
import { HtmlValidate } from 'html-validate'
import type { Page } from 'playwright-core'
import { artefact, collectComplaints, openBrowser } from '../support/browser.ts'
import { fileScope } from '../support/file-scope.ts'
import { type RunningService, startService } from '../support/service.ts'

declare global {
  interface Window {
    axe: typeof axe
  }
}

const file = fileScope(test)
let demo: RunningService

test.before(async () => {
  demo = await startService(file)
})

const PAGES: readonly (readonly [name: string, path: string, heading: string])[] = [
  ['books', '/catalog/books/', 'Book List'],
  ['books-last', '/catalog/books/?page=3', 'Book List'],
  ['book', '/catalog/book/5', 'Title: Great Expectations'],
  ['book-chinese', '/catalog/book/25', 'Title: 红楼梦'],
  ['authors', '/catalog/authors/', 'Author List'],
  ['author', '/catalog/author/1', 'Author: Austen, Jane'],
  ['my-borrowed', '/catalog/mybooks/', 'Borrowed books'],
  ['all-borrowed', '/catalog/borrowed/', 'All Borrowed Books'],
]

for (const width of [360, 1280]) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test.serial(
      `the pages of the demo are valid and accessible, ${colorScheme} and ${width} pixels wide`,
      async (t) => {
        t.timeout(110_000)
        const browser = await openBrowser(t)
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
        const complaints = collectComplaints(page)
        await page.goto(`${demo.url}/accounts/login/?next=/catalog/borrowed/`)
        await isFine(t, page, `demo-login-${width}-${colorScheme}`)
        await logIn(page, 'librarian', 'lends-books')
        for (const [name, path, heading] of PAGES) {
          await page.goto(`${demo.url}${path}`)
          const where = `demo-${name}-${width}-${colorScheme}`
          t.is((await page.locator('h1').innerText()).replace(/\s+/g, ' '), heading, where)
          await isFine(t, page, where)
        }
        t.deepEqual(complaints, [])
      },
    )
  }
}

test.serial(
  'without JavaScript a member finds a book, its author, and what they have borrowed',
  async (t) => {
    const browser = await openBrowser(t)
    const page = await browser.newPage({ javaScriptEnabled: false })
    await page.goto(demo.url)
    await page.getByRole('link', { name: 'All books' }).click()
    await page.getByRole('link', { name: 'next' }).click()
    await page.getByText('Page 2 of 3.').waitFor()
    await page.getByRole('link', { name: 'previous' }).click()
    await page.getByRole('link', { name: 'Crime and Punishment' }).click()
    await page.getByText('9780140449136').waitFor()
    await page.getByRole('link', { name: 'Dostoyevsky, Fyodor' }).click()
    await page.getByRole('heading', { name: 'Author: Dostoyevsky, Fyodor' }).waitFor()
    await page.getByRole('link', { name: 'Login' }).click()
    await logIn(page, 'member', 'reads-books')
    await page.getByText('User: member').waitFor()
    t.is(new URL(page.url()).pathname, '/catalog/author/18') // The page of before.
    await page.getByRole('link', { name: 'My borrowed' }).click()
    await page.getByRole('heading', { name: 'Borrowed books' }).waitFor()
    t.true((await page.locator('.records li').count()) > 3)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('heading', { name: 'Logged out' }).waitFor()
    await page.getByRole('link', { name: 'Login again' }).click()
    await page.getByText('reads-books').waitFor()
  },
)

async function logIn(page: Page, username: string, password: string): Promise<void> {
  await page.getByLabel('Username').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Login' }).click()
  await page.getByText(`User: ${username}`).waitFor()
}

/** Neither axe nor the validator finds anything, and nothing overflows. Leaves a screenshot. */
async function isFine(t: ExecutionContext, page: Page, where: string): Promise<void> {
  await page.screenshot({ path: artefact(`${where}.png`), fullPage: true })
  t.true(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), where)
  const source = await (await page.context().request.get(page.url())).text()
  const validator = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'] })
  const { results } = await validator.validateString(source)
  const messages = results.flatMap((result) => result.messages)
  t.deepEqual(
    messages.map(({ line, ruleId, message }) => `${line}: ${ruleId}: ${message}`),
    [],
    where,
  )
  await page.evaluate(axe.source)
  const { violations, incomplete } = await page.evaluate(() => window.axe.run())
  t.deepEqual(
    [...violations, ...incomplete].flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
    [],
    where,
  )
}
