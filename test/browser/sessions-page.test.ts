import { createHash } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import axe from 'axe-core'
import { HtmlValidate } from 'html-validate'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { retryWrite } from '../../src/sql/retry.ts'
import { addUser, PASSWORD } from '../service/pages/login-site.ts'
import { artefact, collectComplaints, openBrowser } from '../support/browser.ts'
import { createTestDatabase } from '../support/databases.ts'
import { fileScope, type Scope } from '../support/file-scope.ts'
import { openUrl } from '../support/library.ts'
import { startService } from '../support/service.ts'

declare global {
  interface Window {
    axe: typeof axe
  }
}

const SECRET_KEY = 'a secret key of the tests'
const HOUR = 3_600_000

const file = fileScope(test)
let site = ''
let browser: Browser

test.before(async () => {
  site = await startSite(file)
  browser = await openBrowser(file)
})

const LOOKS: readonly (readonly [name: string, options: BrowserContextOptions])[] = [320, 1280].flatMap(
  (width) =>
    (
      [
        ['light', { colorScheme: 'light' }],
        ['dark', { colorScheme: 'dark' }],
        ['forced-colors', { colorScheme: 'dark', forcedColors: 'active' }],
      ] as const
    ).map(
      ([name, options]) => [`${name}-${width}`, { ...options, viewport: { width, height: 800 } }] as const,
    ),
)

for (const [look, options] of LOOKS) {
  test.serial(`the page about sessions is accessible and nothing overflows: ${look}`, async (t) => {
    t.timeout(110_000)
    const page = await (await browser.newContext(options)).newPage()
    const complaints = collectComplaints(page)
    await page.goto(`${site}/_sessions/`)
    await isAccessible(t, page, `sessions-stranger-${look}`)
    await logIn(page)
    await page.goto(`${site}/_sessions/`)
    await page.getByRole('button', { name: 'Show the value of cart' }).click()
    await page.getByText('"title"').waitFor()
    await page.getByText('The numbers', { exact: true }).click()
    await isAccessible(t, page, `sessions-${look}`)
    t.deepEqual(complaints, [])
    await page.context().close()
  })
}

test.serial('the page is valid HTML, also with a value shown', async (t) => {
  const page = await (await browser.newContext()).newPage()
  await logIn(page)
  const shown = await page.goto(`${site}/_sessions/`)
  await isValid(t, (await shown?.text()) ?? '')
  const [revealed] = await Promise.all([
    page.waitForResponse((one) => one.request().method() === 'POST'),
    page.getByRole('button', { name: 'Show the value of num_visits' }).click(),
  ])
  await isValid(t, await revealed.text())
  await page.context().close()
})

test.serial(
  'without JavaScript and with the keyboard alone, a value is shown and hidden again',
  async (t) => {
    const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage()
    await page.goto(`${site}/catalog/`)
    await page.goto(`${site}/_sessions/`)
    t.false((await page.content()).includes('<pre>1</pre>'))
    const show = page.getByRole('button', { name: 'Show the value of num_visits' })
    await show.focus()
    await page.keyboard.press('Enter')
    await page.locator('.value pre').waitFor()
    t.is(await page.locator('.value pre').innerText(), '1')
    t.regex(page.url(), /\/_sessions\/#key-[\w-]+$/)
    await page.getByRole('button', { name: 'Hide the value of num_visits' }).focus()
    await page.keyboard.press('Enter')
    await show.waitFor()
    t.is(await page.locator('.value pre').count(), 0)
    await page.context().close()
  },
)

test.serial('the plots have their numbers as text: in tables, and in the name of the image', async (t) => {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${site}/_sessions/`)
  const readings = page.getByRole('table', { name: 'How the rows can be read' })
  await readings.getByRole('row', { name: /Readable with SECRET_KEY/ }).waitFor()
  await readings.getByRole('row', { name: /Unreadable: no key verifies the signature/ }).waitFor()
  await page.getByRole('img', { name: /^Sessions saved in each of the last 24 hours/ }).waitFor()
  await page.getByText('The numbers', { exact: true }).click()
  t.is(await page.getByRole('table', { name: 'Sessions saved in each hour' }).getByRole('row').count(), 25)
  t.is(await page.getByRole('table', { name: 'How large the rows are' }).count(), 1)
  // Each kind of bar has a pattern of its own.
  const fills = await page
    .locator('.bars .fill')
    .evaluateAll((bars) => new Set(bars.map((bar) => `${bar.classList[1]} ${bar.getAttribute('fill')}`)).size)
  t.true(fills >= 3)
  await page.context().close()
})

/** Logs in as a librarian, with a cart in the session. */
async function logIn(page: Page): Promise<void> {
  await page.goto(`${site}/accounts/login/?next=/catalog/`)
  await page.getByLabel('Username').fill('librarian')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Login' }).click()
  await page.getByText('User: librarian').waitFor()
  const cookies = await page.context().cookies()
  await addCart(cookies.find(({ name }) => name === 'sessionid')?.value ?? '')
}

let addCart: (sessionKey: string) => Promise<void>

async function isAccessible(t: ExecutionContext, page: Page, where: string): Promise<void> {
  await page.screenshot({ path: artefact(`${where}.png`), fullPage: true })
  t.true(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), where)
  await page.evaluate(axe.source)
  const { violations, incomplete, passes } = await page.evaluate(() => window.axe.run())
  t.deepEqual(
    [...violations, ...incomplete].flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
    [],
    where,
  )
  t.true(passes.some(({ id }) => id === 'color-contrast'))
}

async function isValid(t: ExecutionContext, html: string): Promise<void> {
  const validator = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'] })
  const { results } = await validator.validateString(html)
  t.deepEqual(
    results.flatMap(({ messages }) =>
      messages.map(({ line, ruleId, message }) => `${line}: ${ruleId}: ${message}`),
    ),
    [],
  )
}

/** The service on a table with more rows than are read, signed with several keys at several times. */
async function startSite(t: Scope): Promise<string> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const db = openUrl(t, databaseUrl)
  await db.raw('PRAGMA journal_mode = WAL') // Readers do not wait for a writer.
  const profile = versionProfile('5.2')
  const codecOf = (secretKey: string, now: Date) =>
    createSessionCodec({ secretKeys: [secretKey], profile, now: () => now })
  const start = Date.now()
  const rows = Array.from({ length: 620 }, (_, at) => {
    const savedAt = new Date(start - (at / 620) ** 2 * 30 * HOUR)
    const secretKey = at % 9 === 4 ? 'the old key' : at % 31 === 7 ? 'of another site' : SECRET_KEY
    const data = new Map([
      ['num_visits', String(at)],
      ...(at % 3 === 0 ? ([['cart', JSON.stringify(titles(1 + (at % 40)))]] as const) : []),
      ...(at % 200 === 1 ? ([['report', JSON.stringify(noise(18_000))]] as const) : []),
    ])
    return {
      session_key: `key${at}`.padEnd(32, 'x'),
      session_data: codecOf(secretKey, savedAt).encode(data),
      expire_date: text(new Date(savedAt.getTime() + 14 * 24 * HOUR)),
    }
  })
  for (let at = 0; at < rows.length; at += 100) await db('django_session').insert(rows.slice(at, at + 100))
  await db('django_session').insert({
    session_key: 'expired'.padEnd(32, 'x'),
    session_data: codecOf(SECRET_KEY, new Date(0)).encode(new Map()),
    expire_date: '2020-01-01 00:00:00',
  })
  await addUser(db, { username: 'librarian', is_staff: 1, is_superuser: 1 })
  addCart = async (sessionKey) => {
    const codec = codecOf(SECRET_KEY, new Date())
    const row = await db('django_session').where({ session_key: sessionKey }).first()
    const { data } = codec.decode(row.session_data)
    const withCart = codec.encode(new Map([...data, ['cart', JSON.stringify(titles(3))]]))
    // The service may be writing.
    await retryWrite(() =>
      db('django_session').where({ session_key: sessionKey }).update({ session_data: withCart }),
    )
  }
  const { url } = await startService(t, {
    env: {
      DATABASE_URL: databaseUrl,
      DJANGO_SECRET_KEY: SECRET_KEY,
      DJANGO_SECRET_KEY_FALLBACKS: '["the old key"]',
      DJANGO_VERSION: '5.2',
      USE_TZ: 'True',
      TIME_ZONE: 'Asia/Seoul',
    },
  })
  return url
}

function titles(count: number): object[] {
  return Array.from({ length: count }, (_, at) => ({
    title: `The ${at + 1}th Book of ${noise(6)}`,
    copies: 1,
  }))
}

/** Letters that do not compress well, the same at each run. */
function noise(length: number): string {
  const blocks = Array.from({ length: Math.ceil(length / 43) }, (_, at) =>
    createHash('sha256').update(`${length} ${at}`).digest('base64url'),
  )
  return blocks.join('').slice(0, length)
}

function text(date: Date): string {
  return date.toISOString().replace('T', ' ').replace('Z', '000')
}
