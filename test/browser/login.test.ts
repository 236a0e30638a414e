import test, { type ExecutionContext } from 'ava'
import axe from 'axe-core'
import { HtmlValidate } from 'html-validate'
import type { Page, Response } from 'playwright-core'
import { createUpstream } from '../../src/service/proxy/upstream.ts'
import { addMessages, type LoginSite, PASSWORD, startLoginSite } from '../service/pages/login-site.ts'
import { artefact, openBrowser } from '../support/browser.ts'
import { recordLog } from '../support/library.ts'

declare global {
  interface Window {
    axe: typeof axe
  }
}

/** Submits the login form, and returns the resulting page. */
async function logIn(page: Page, username: string, password = PASSWORD): Promise<Response | null> {
  await page.getByLabel('Username').fill(username)
  await page.getByLabel('Password').fill(password)
  const arrived = page.waitForEvent('domcontentloaded')
  const [response] = await Promise.all([
    page.waitForResponse((one) => one.request().isNavigationRequest() && one.status() !== 302),
    page.getByRole('button', { name: 'Login' }).click(),
  ])
  await arrived
  return response
}

/** In order: each page starts where the previous one ended. */
const STEPS: readonly [
  name: string,
  status: number,
  go: (page: Page, site: LoginSite) => Promise<Response | null>,
][] = [
  ['login', 200, (page, { url }) => page.goto(`${url}/accounts/login/?next=/catalog/`)],
  ['login-wrong', 200, (page) => logIn(page, 'reader', 'wrong')],
  [
    'login-wait',
    429,
    async (page) => {
      await logIn(page, 'nobody', 'wrong')
      await logIn(page, 'nobody', 'wrong')
      await logIn(page, 'nobody', 'wrong')
      return logIn(page, 'nobody', 'wrong')
    },
  ],
  [
    'home-of-a-librarian',
    200,
    async (page, site) => {
      await page.goto(`${site.url}/accounts/login/?next=/catalog/`)
      await logIn(page, 'librarian')
      await addMessages(
        site,
        [0, 25, 'The book was renewed until 12 December.', ''],
        [0, 30, 'Two of your books are due tomorrow.', ''],
        [0, 40, 'The reservation could not be made.', ''],
        [0, 20, 'The library is closed on Sunday.', ''],
      )
      return page.goto(`${site.url}/catalog/`)
    },
  ],
  ['django-away', 502, (page, { url }) => page.goto(`${url}/catalog/books/`)],
  [
    'forged',
    403,
    async (page, { url }) => {
      await page.goto(`${url}/accounts/login/`)
      await page.context().clearCookies({ name: 'csrftoken' })
      return logIn(page, 'reader')
    },
  ],
  [
    'logged-out',
    200,
    async (page, { url }) => {
      await page.goto(`${url}/catalog/`)
      const [response] = await Promise.all([
        page.waitForResponse((one) => one.request().isNavigationRequest()),
        page.getByRole('button', { name: 'Log out' }).click(),
      ])
      await page.getByRole('heading', { name: 'Logged out' }).waitFor()
      return response
    },
  ],
]

for (const width of [360, 1280]) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test.serial(
      `the pages of a login are valid and accessible, ${colorScheme} and ${width} pixels wide`,
      async (t) => {
        t.timeout(110_000)
        const site = await startSite(t)
        const browser = await openBrowser(t)
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
        for (const [name, status, go] of STEPS) {
          const response = await go(page, site)
          const where = `${name}-${width}-${colorScheme}`
          t.is(response?.status(), status, where)
          await page.screenshot({ path: artefact(`${where}.png`), fullPage: true })
          t.deepEqual(await findings(page), [], where)
          t.true(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), where)
          if (width === 360 && colorScheme === 'light')
            await isValid(t, (await response?.text()) ?? '', where)
        }
      },
    )
  }
}

test.serial(
  'login works without JavaScript and with the keyboard only: the username has the focus',
  async (t) => {
    const site = await startSite(t)
    const browser = await openBrowser(t)
    const page = await browser.newPage({ javaScriptEnabled: false })
    await page.goto(`${site.url}/accounts/login/?next=/catalog/`)
    await page.locator('[name=username]:focus').waitFor()
    await page.keyboard.type('reader')
    await page.keyboard.press('Tab')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Enter')
    await page.getByText('User: reader').waitFor()
    t.is(page.url(), `${site.url}/catalog/`)
  },
)

async function startSite(t: ExecutionContext): Promise<LoginSite> {
  const allowedHosts = ['127.0.0.1']
  return startLoginSite(t, {
    session: { messages: { storage: 'session' } },
    allowedHosts,
    upstream: createUpstream({
      url: 'http://127.0.0.1:1',
      timeout: 5000,
      allowedHosts,
      trustedProxy: [],
      log: recordLog(),
    }),
  })
}

/** The violations that axe found, and the checks that it could not decide. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations, incomplete } = await page.evaluate(() => window.axe.run())
  return [...violations, ...incomplete].flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
}

async function isValid(t: ExecutionContext, html: string, where: string): Promise<void> {
  const validator = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'] })
  const { results } = await validator.validateString(html)
  t.deepEqual(
    results.flatMap(({ messages }) =>
      messages.map(({ line, ruleId, message }) => `${line}: ${ruleId}: ${message}`),
    ),
    [],
    where,
  )
}
