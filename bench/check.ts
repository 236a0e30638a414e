import { djangoShell } from '../test/support/django.ts'
import { LIBRARIES, type LibrarySize } from './library.ts'
import { MESSAGE } from './sessions.ts'
import {
  DJANGO,
  type RunningTarget,
  SECRET_KEY,
  type SiteToServe,
  sessionSettings,
  type Target,
} from './targets.ts'
import { request, visit } from './visit.ts'

/**
 * Checks that a target does the measured work: it shows the correct counts, counts the visit in the session, and, if it
 * writes Django's rows, writes one that real Django reads.
 * @throws Error with the difference.
 */
export async function checkTarget(
  target: Target,
  running: RunningTarget,
  site: SiteToServe & { readonly size: LibrarySize },
): Promise<void> {
  try {
    await check(target, running, site)
  } catch (cause) {
    const said = running.output().slice(-2000)
    throw new Error(`${target.name} does not do the measured work: ${String(cause)}\nIt printed:\n${said}`, {
      cause,
    })
  }
}

async function check(
  { name, rows }: Target,
  { port }: RunningTarget,
  { size, ...site }: SiteToServe & { readonly size: LibrarySize },
): Promise<void> {
  const { books, copies, authors } = LIBRARIES[size]
  const first = await visit(port)
  const second = await visit(port, first.cookie)
  for (const [at, page] of [first, second].entries()) {
    const { cookie: _, ...shown } = page
    expectEqual(`${name} shows`, shown, {
      books,
      copies,
      copiesAvailable: copies / 4,
      authors,
      numVisits: at + 1,
    })
  }
  if (rows !== 'django') return
  const [, sessionKey = ''] = first.cookie.split('=')
  const script = `
import sys
from importlib import import_module
from django.conf import settings
print(import_module(settings.SESSION_ENGINE).SessionStore(sys.stdin.read()).get('num_visits'))`
  const env = { SECRET_KEY, DATABASE_URL: site.databaseUrl, ...sessionSettings(site) }
  const read = await djangoShell(DJANGO, { env, script, input: sessionKey })
  expectEqual(`in the session of ${name}, Django reads`, read.trim(), '2')
}

/** Checks that the page names the user, has the link that needs a permission, and shows the message. @throws Error if not. */
export async function checkLoggedIn(
  { name }: Target,
  { port }: RunningTarget,
  cookie: string,
): Promise<void> {
  const html = await (await request(port, { cookie })).text()
  for (const expected of [/\breader\d/, /href="\/catalog\/borrowed\/"/, new RegExp(MESSAGE)])
    if (!expected.test(html)) throw new Error(`${name} does not show ${expected.source}:\n${html}`)
}

function expectEqual(what: string, found: unknown, expected: unknown): void {
  const [text, right] = [JSON.stringify(found), JSON.stringify(expected)]
  if (text !== right) throw new Error(`${what} ${text} instead of ${right}`)
}
