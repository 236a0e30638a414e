import test from 'ava'
import { artefact, collectComplaints, openBrowser } from './browser.ts'
import { createTestDatabase } from './databases.ts'
import { djangoVersions, startDjango } from './django.ts'
import { listen } from './library.ts'

test("a browser keeps Django's cookie", async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const version = djangoVersions.at(-1) ?? ''
  const { url } = await startDjango(t, { version, secretKey: 'a key of the tests', databaseUrl })
  const page = await (await openBrowser(t)).newPage()
  await page.goto(`${url}/catalog/`)
  await page.reload()
  t.regex(await page.innerText('body'), /You have visited this page 2 times\./)
  await page.screenshot({ path: artefact('django-home.png') })
})

test('a request that a navigation ends is no complaint, a broken one is', async (t) => {
  const empty = '<link rel="icon" href="data:,">'
  const pages = new Map([
    ['/', empty],
    ['/again', empty],
    ['/broken', `${empty}<img src="/broken.svg">`],
  ])
  const site = await listen(t, (request, response) => {
    const page = pages.get(request.url ?? '')
    if (page !== undefined) response.setHeader('Content-Type', 'text/html').end(page)
    else if (request.url === '/broken.svg') request.socket.destroy()
    // Any other request stays without an answer.
  })
  const page = await (await openBrowser(t)).newPage()
  const complaints = collectComplaints(page)

  await page.goto(`${site}/`)
  const asked = page.waitForRequest(`${site}/never.svg`)
  await page.evaluate(() => {
    new Image().src = '/never.svg'
  })
  await asked
  const ended = page.waitForEvent('requestfailed')
  await page.goto(`${site}/again`)
  await ended
  t.deepEqual(complaints, [])

  await page.goto(`${site}/broken`)
  t.true(complaints.includes(`net::ERR_EMPTY_RESPONSE ${site}/broken.svg`), complaints.join('\n'))
})
