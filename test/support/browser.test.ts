import test from 'ava'
import { artefact, openBrowser } from './browser.ts'
import { createTestDatabase } from './databases.ts'
import { djangoVersions, startDjango } from './django.ts'

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
