import test from 'ava'
import type { Page } from 'playwright-core'
import { PASSWORD, startInFront } from '../interop/upstream-site.ts'
import { artefact, openBrowser } from '../support/browser.ts'
import { testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'

const database = testDatabases[0] ?? 'sqlite'
const oldest = djangoVersions[0] ?? ''
const newest = djangoVersions.at(-1) ?? ''

async function visits(page: Page): Promise<number> {
  const [, count] = /You have visited this page (\d+) times?\./.exec(await page.innerText('body')) ?? []
  return Number(count)
}

for (const version of new Set([oldest, newest])) {
  test.serial(
    `the whole library works at the address of the service, with Django ${version} serving all but the home page`,
    async (t) => {
      t.timeout(110_000)
      const { front, withLogin } = await startInFront(t, { version, database })
      const browser = await openBrowser(t)
      for (const [name, { url }] of Object.entries({ 'django-login': front, 'our-login': withLogin })) {
        const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
        const page = await context.newPage()
        const complaints: string[] = []
        page.on('console', (message) => {
          // Ignored on Django's pages: they have no icon, and those of 2.2 no autocomplete.
          if (/Content Security Policy|refused/i.test(message.text())) complaints.push(message.text())
        })
        page.on('response', (response) => {
          if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`)
        })
        await page.goto(url)
        t.is(page.url(), `${url}/catalog/`)
        t.is(await visits(page), 1)
        await page.getByRole('link', { name: 'All books' }).click()
        await page.getByRole('link', { name: '날개' }).click()
        await page.getByText('Title: 날개').waitFor()
        await page.getByRole('link', { name: 'All authors' }).click()
        await page.getByRole('link', { name: '상, 이' }).click()
        await page.getByRole('link', { name: 'Home' }).click()
        t.is(await visits(page), 2)

        await page.getByRole('link', { name: 'Login' }).click()
        await page.locator('[name=username]').fill('reader')
        await page.locator('[name=password]').fill(PASSWORD)
        await page.screenshot({ path: artefact(`${name}-before-django-${version}.png`) })
        await page.keyboard.press('Enter')
        await page.getByText('User: reader').waitFor()
        t.is(page.url(), `${url}/catalog/`)
        t.is(await visits(page), 3)

        await page.getByRole('link', { name: 'My borrowed' }).click()
        await page.getByRole('heading', { name: 'Borrowed books' }).waitFor()
        t.true((await page.innerText('body')).includes('날개'))
        t.true((await page.innerText('body')).includes('User: reader'))
        await page.getByRole('link', { name: 'Home' }).click()
        t.is(await visits(page), 4)

        const cookies = (await context.cookies()).map(({ name: cookie }) => cookie)
        t.deepEqual(new Set(cookies), new Set(['csrftoken', 'sessionid']))
        await page.getByRole('button', { name: 'Log out' }).click()
        await page.waitForURL(`${url}/accounts/logout/`) // In Django's layout this is a page of the admin.
        await page.goto(`${url}/catalog/mybooks/`)
        t.is(page.url(), `${url}/accounts/login/?next=/catalog/mybooks/`)
        await page.getByRole('link', { name: 'Home' }).click()
        t.is(await visits(page), 1)
        await page.getByRole('link', { name: 'Login' }).waitFor()
        t.deepEqual(complaints, [], name)
        await context.close()
      }
    },
  )
}
