import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import test from 'ava'
import { HtmlValidate } from 'html-validate'
import type { Page } from 'playwright-core'
import { collectComplaints, openBrowser } from '../../support/browser.ts'
import { fileScope } from '../../support/file-scope.ts'
import { type Library, startLibrary } from '../../support/library.ts'

const file = fileScope(test)
let library: Library
let broken: Library

test.before(async () => {
  library = await startLibrary(file)
  broken = await startLibrary(file)
  await broken.db.schema.dropTable('catalog_author')
})

const PAGES: [name: string, address: () => string, status: number][] = [
  ['home', () => `${library.url}/catalog/`, 200],
  ['not found', () => `${library.url}/<nothing>`, 404],
  ['failure', () => `${broken.url}/catalog/`, 500],
]

for (const [name, address, status] of PAGES) {
  test(`the ${name} page is valid HTML`, async (t) => {
    const validator = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'] })
    const response = await fetch(address())
    t.is(response.status, status)
    const report = await validator.validateString(await response.text())
    t.deepEqual(
      report.results.flatMap(({ messages }) =>
        messages.map((one) => `${one.line}: ${one.ruleId}: ${one.message}`),
      ),
      [],
    )
  })
}

test('axe finds nothing on any page, light or dark, wide or narrow, and nothing overflows', async (t) => {
  const browser = await openBrowser(t)
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1280, 768, 360]) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 740 } })
      for (const [name, address] of PAGES) {
        await page.goto(address())
        const where = `${name}, ${colorScheme}, ${width} px`
        t.deepEqual(await findings(page, axe), [], where)
        t.false(await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth), where)
      }
      await page.close()
    }
  }
})

test('the browser blocks no resource of a page', async (t) => {
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  const complaints = collectComplaints(page)
  await page.goto(`${library.url}/catalog/`)
  t.deepEqual(complaints, [])
  t.is(
    await page.evaluate(() => getComputedStyle(document.querySelector('.counts') ?? document.body).display),
    'grid',
  )
})

test('the first Tab reaches a link that skips the navigation', async (t) => {
  const browser = await openBrowser(t)
  const page = await browser.newPage({ javaScriptEnabled: false })
  await page.goto(`${library.url}/catalog/`)
  await page.keyboard.press('Tab')
  t.is(await page.locator(':focus').innerText(), 'Skip to content')
  await page.keyboard.press('Enter')
  t.is(await page.locator(':focus').getAttribute('id'), 'content')
})

/** The violations that axe found, and the checks that it could not decide. */
async function findings(page: Page, axe: string): Promise<string[]> {
  await page.evaluate(axe)
  return page.evaluate(async () => {
    const { violations, incomplete } = await (
      globalThis as never as { axe: typeof import('axe-core') }
    ).axe.run()
    return [...violations, ...incomplete].flatMap((one) =>
      one.nodes.map((node) => `${one.id}: ${node.target}`),
    )
  })
}
