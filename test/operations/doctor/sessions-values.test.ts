import test from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { startDjango } from '../../support/django.ts'
import { firstNamed, type PlantedSite, plantSite, problems, secretKey, versions } from './planted-site.ts'

const STORAGES = 'django.contrib.messages.storage'

/** A form, a message and a login at the real site. */
async function visit(
  t: Parameters<typeof startDjango>[0],
  site: PlantedSite,
  { version, settings }: { version: string; settings: Readonly<Record<string, string>> },
): Promise<void> {
  const { url } = await startDjango(t, { version, secretKey, databaseUrl: site.url, settings })
  const visitor = createVisitor()
  const post = (path: string, body: string, token = '') =>
    visitor.fetch(`${url}${path}`, {
      method: 'POST',
      body,
      headers: { 'X-CSRFToken': token, 'Content-Type': 'application/x-www-form-urlencoded' },
    })
  const page = await (await visitor.fetch(`${url}/_test/form`)).text()
  const [, token] = /name="csrfmiddlewaretoken" value="([^"]+)"/.exec(page) ?? []
  const messages = JSON.stringify([[20, 'Renewed.', '', false]])
  const told = await post('/_test/form', new URLSearchParams({ messages }).toString(), token)
  if (told.status !== 200) throw new Error(`the form answered ${told.status}`)
  const people = JSON.stringify([{ username: 'reader', password: 'secret' }])
  await post('/_test/people', people)
  const login = await post('/_test/user', JSON.stringify({ username: 'reader', password: 'secret' }))
  if (login.status !== 200) throw new Error(`the login answered ${login.status}`)
}

const faults = [
  {
    name: 'MESSAGE_STORAGE',
    site: { MESSAGE_STORAGE: `${STORAGES}.session.SessionStorage` },
    ours: { MESSAGE_STORAGE: `${STORAGES}.cookie.CookieStorage` },
    named: /^sessions\.W020: set MESSAGE_STORAGE /,
  },
  {
    name: 'CSRF_USE_SESSIONS at Django only',
    site: { CSRF_USE_SESSIONS: 'true' },
    ours: { CSRF_USE_SESSIONS: '' },
    named: /^sessions\.W021: set CSRF_USE_SESSIONS=True/,
  },
  {
    name: 'CSRF_USE_SESSIONS here only',
    site: {},
    ours: { CSRF_USE_SESSIONS: 'True' },
    named: /^sessions\.W021: leave CSRF_USE_SESSIONS empty/,
  },
]

for (const { name, site: settings, ours, named } of faults) {
  for (const version of versions) {
    test(`Django ${version}: the doctor names ${name} first, and nothing where both agree`, async (t) => {
      await takeTurn(t)
      const site = await plantSite(t, { version, settings: settings as Record<string, string> })
      await visit(t, site, { version, settings: settings as Record<string, string> })
      t.regex(firstNamed(await site.examine(ours as Record<string, string>)), named)
      t.deepEqual(problems(await site.examine()), [])
    })
  }
}
