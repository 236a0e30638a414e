import test from 'ava'
import axe from 'axe-core'
import { artefact, collectComplaints, openBrowser } from '../support/browser.ts'
import { createTestDatabase, runSql } from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import { freePorts, startCommand, startService } from '../support/service.ts'

const cases: { name: string; status: number; path: string; start: (t: Scope) => Promise<string> }[] = [
  { name: 'home', status: 200, path: '/', start: startDemo },
  { name: 'bad-request', status: 400, path: '/catalog/', start: startElsewhere },
  { name: 'not-found', status: 404, path: '/catalog/nowhere', start: startDemo },
  { name: 'failure', status: 500, path: '/catalog/', start: startBroken },
  { name: 'unavailable', status: 503, path: '/catalog/', start: startWaiting },
]

for (const { name, status, path, start } of cases) {
  test.serial(
    `the service's ${name} page: axe and the browser report no problem, light and dark, on a phone and a desktop`,
    async (t) => {
      t.timeout(110_000)
      const site = await start(t)
      const browser = await openBrowser(t)
      for (const width of [360, 1280]) {
        for (const colorScheme of ['light', 'dark'] as const) {
          const where = `${name}-${width}-${colorScheme}`
          const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
          const complaints = collectComplaints(page)
          const response = await page.goto(`${site}${path}`)
          t.is(response?.status(), status)
          await page.screenshot({ path: artefact(`${where}.png`), fullPage: true })
          const ofTheStatus = `Failed to load resource: the server responded with a status of ${status}`
          t.deepEqual(
            complaints.filter((complaint) => !complaint.startsWith(ofTheStatus)),
            [],
            where,
          )
          t.true(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), where)
          await page.evaluate(axe.source)
          const { violations, incomplete, passes } = await page.evaluate(() => window.axe.run())
          t.deepEqual(
            [...violations, ...incomplete].map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]),
            [],
            where,
          )
          t.true(passes.some(({ id }) => id === 'color-contrast'))
          await page.close()
        }
      }
    },
  )
}

declare global {
  interface Window {
    axe: typeof axe
  }
}

async function startDemo(t: Scope): Promise<string> {
  return (await startService(t)).url
}

/** Requested under a disallowed host name. */
async function startElsewhere(t: Scope): Promise<string> {
  const { url } = await startService(t, { env: { ALLOWED_HOSTS: 'library.example' } })
  return url
}

/** The session table is removed after the start. */
async function startBroken(t: Scope): Promise<string> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const { url } = await startService(t, { env: { DATABASE_URL: databaseUrl, DJANGO_SECRET_KEY: 'x' } })
  await runSql(databaseUrl, 'DROP TABLE django_session')
  return url
}

/** Its database was never available. */
async function startWaiting(t: Scope): Promise<string> {
  const env = { ...freePorts, DATABASE_URL: 'mysql://nobody@127.0.0.1:1/nothing', DJANGO_SECRET_KEY: 'x' }
  const { url } = await startCommand(t, ['serve'], { env }).next('service.listening')
  return new URL(String(url)).origin
}
