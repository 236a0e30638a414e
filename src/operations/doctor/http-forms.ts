import { MESSAGES_COOKIE, MESSAGES_SESSION_KEY } from '../../django/messages.ts'
import { selectRows } from '../../sql/executor.ts'
import type { Project } from '../open-project.ts'
import { type Check, type Evidence, failed, ok, type Result, skipped } from './check.ts'
import { difference, differs, flagDifferences, placeDifferences } from './cookie-differences.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import { hasForm } from './django-pages.ts'
import { pathsOf, REACHED, throughUpstream } from './through-upstream.ts'
import { readUpstream, type UpstreamReading } from './upstream-reading.ts'

/** What forms and messages need to work on both sides. */
export const FORM_CHECKS: readonly Check[] = [
  {
    id: 'http.E013',
    title: "CSRF_USE_SESSIONS and CSRF_COOKIE_NAME are Django's",
    meaning:
      'Looks at a page of Django with a form: where its CSRF secret is, and under which name. If they differ, forms of one side are 403 on the other. `CSRF_HEADER_NAME` cannot be seen in a page; `doctor --django` compares it.',
    remedy: 'Set `CSRF_USE_SESSIONS` and `CSRF_COOKIE_NAME` as in settings.py.',
    after: REACHED,
    isCheap: false,
    run: throughUpstream(checkCsrf),
  },
  {
    id: 'http.W014',
    title: "the other CSRF_COOKIE_… settings are Django's",
    meaning:
      'Compares domain, path, flags and age with the CSRF cookie that Django sets. With another domain or path, a browser keeps two, and forms are 403 in turns.',
    remedy: 'Set them as in settings.py.',
    after: [...REACHED, 'http.E013'],
    isCheap: false,
    run: throughUpstream((reading, project) => {
      const { cookie: ours, cookieAge } = project.settings.csrf
      const theirs = csrfCookieIn(reading, project)
      if (theirs === null) return skipped('Django set no CSRF cookie in these visits')
      const differences = [
        ...placeDifferences('CSRF_COOKIE', theirs, ours),
        ...flagDifferences('CSRF_COOKIE', theirs, ours),
        ...difference('CSRF_COOKIE_AGE', String(theirs.maxAge ?? 'None'), String(cookieAge ?? 'None')),
      ]
      return differences.length === 0 ? ok('all are equal') : differs(differences)
    }),
  },
  {
    id: 'http.W015',
    title: "MESSAGE_STORAGE is Django's",
    meaning:
      'Looks for messages in the 20 newest sessions, and for a cookie of messages in the visits. With different storages, a message of one side is never shown on the other.',
    remedy: 'Set `MESSAGE_STORAGE` as in settings.py.',
    after: ['database.E001', 'database.E002'],
    isCheap: false,
    run: checkMessages,
  },
]

/** Django's CSRF cookie: that with our name, else one whose value looks like a CSRF secret. */
function csrfCookieIn(
  { visits, session }: UpstreamReading,
  { settings: { csrf } }: Project,
): ReceivedCookie | null {
  const set = visits.flatMap(({ cookies }) => cookies).filter(({ isDeletion }) => !isDeletion)
  const looksRight = ({ name, value }: ReceivedCookie) =>
    name !== session?.cookie.name &&
    /^(?:[A-Za-z0-9]{32}){1,2}$/.test(value) &&
    /[a-z]/.test(value) &&
    /[A-Z]/.test(value)
  return set.find(({ name }) => name === csrf.cookie.name) ?? set.find(looksRight) ?? null
}

function checkCsrf(reading: UpstreamReading, project: Project): Result {
  const { csrf } = project.settings
  const cookie = csrfCookieIn(reading, project)
  if (cookie !== null && csrf.useSessions)
    return failed(
      'Django keeps the CSRF secret in a cookie, and CSRF_USE_SESSIONS is True here',
      'set CSRF_USE_SESSIONS=False',
    )
  if (cookie !== null && cookie.name !== csrf.cookie.name)
    return failed(
      `Django's CSRF cookie is ${cookie.name}, and ours is ${csrf.cookie.name}`,
      `set CSRF_COOKIE_NAME=${cookie.name}`,
    )
  if (cookie !== null) return ok(`the cookie ${cookie.name}`)
  if (!reading.visits.some(hasForm)) return skipped(`none of the pages ${pathsOf(reading.visits)} has a form`)
  const made = reading.session?.reading
  if (made?.kind !== 'read') return skipped('Django set no CSRF cookie, and its session could not be read')
  if (!made.stored.data.has('_csrftoken')) return skipped('a page has a form, but Django set no CSRF secret')
  return csrf.useSessions
    ? ok('the session')
    : failed(
        'Django keeps the CSRF secret in the session, and CSRF_USE_SESSIONS is False here',
        'set CSRF_USE_SESSIONS=True',
      )
}

const NEWEST = 20

/** Characters of messages that fit into a cookie, so that FallbackStorage would not keep them in the session. */
const FITS_COOKIE = 1500

const STORAGES = 'django.contrib.messages.storage.'

/** Source: django/contrib/messages/storage/fallback.py, which stores in the cookie first. */
async function checkMessages(evidence: Evidence): Promise<Result> {
  const { project } = evidence
  const { storage } = project.settings.messages
  const reading = await readUpstream(evidence)
  const inCookie = reading?.visits.some(({ cookies }) => cookies.some(({ name }) => name === MESSAGES_COOKIE))
  if (inCookie === true && storage === 'session')
    return failed(
      'Django keeps messages in a cookie, and MESSAGE_STORAGE is the session here',
      `set MESSAGE_STORAGE=${STORAGES}fallback.FallbackStorage, or the CookieStorage, as in settings.py`,
    )
  const texts = await storedMessages(project)
  if (texts === null) return skipped('sessions are not in a table, and no page showed a message')
  const inSession = storage === 'cookie' ? texts : texts.filter(({ length }) => length < FITS_COOKIE)
  if (inSession.length > 0 && storage !== 'session')
    return failed(
      `${inSession.length} of the newest sessions hold messages, which MESSAGE_STORAGE here keeps in a cookie`,
      `set MESSAGE_STORAGE=${STORAGES}session.SessionStorage, as in settings.py`,
    )
  return ok(`${texts.length} of the ${NEWEST} newest sessions hold messages`)
}

/** The messages in the newest sessions that can be read; null if sessions are not in a table. */
async function storedMessages({ sessionDb, table, codec, dates, now }: Project): Promise<string[] | null> {
  if (table === null) return null
  const name = sessionDb.ref(table).toQuery()
  const rows = await selectRows(
    sessionDb,
    `select session_data from ${name} where expire_date > ? order by expire_date desc limit ${NEWEST}`,
    [dates.toColumn(now())],
  )
  return rows.flatMap((row) => {
    try {
      const text = codec.decode((row as { session_data: string }).session_data).data.get(MESSAGES_SESSION_KEY)
      return text === undefined ? [] : [text]
    } catch {
      return [] // The checks of the sessions say why.
    }
  })
}
