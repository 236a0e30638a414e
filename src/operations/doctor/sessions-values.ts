import type { Check, Evidence, Result } from './check.ts'
import { newestSessions, type SessionRow, sessionsText, whyNoEvidence } from './sessions-rows.ts'

/** What Django's own apps keep in sessions, compared with the settings that decide it. */
export const SESSION_VALUE_CHECKS: readonly Check[] = [
  {
    id: 'sessions.W020',
    title: 'messages are kept where Django keeps them',
    meaning:
      'Looks for `_messages` in the newest rows of Django while `MESSAGE_STORAGE` is the CookieStorage: the messages of one side are then not shown by the other.',
    remedy: 'Set `MESSAGE_STORAGE` as in the settings of the Django site.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) =>
      onRows(evidence, (rows) => {
        const { storage } = evidence.project.settings.messages
        const found = rows.filter((row) => has(row, '_messages'))
        if (storage !== 'cookie' || found.length === 0)
          return {
            outcome: 'ok',
            read: `${sessionsText(found.length)} with messages; MESSAGE_STORAGE reads them`,
          }
        return {
          outcome: 'failed',
          read: `${found.length} of the newest sessions of Django hold messages, and MESSAGE_STORAGE is the CookieStorage`,
          hint: 'set MESSAGE_STORAGE as in settings.py; if it is not there, leave it empty (FallbackStorage)',
        }
      }),
  },
  {
    id: 'sessions.W021',
    title: "CSRF_USE_SESSIONS is Django's",
    meaning:
      'With `CSRF_USE_SESSIONS`, a login leaves a `_csrftoken` in the session. Fails when rows of Django have one and the setting is False here, or when it is True and no row of a logged-in user has one. Forms of one side are then a 403 at the other.',
    remedy: 'Set `CSRF_USE_SESSIONS` as in the settings of the Django site.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) => onRows(evidence, (rows) => csrfResult(rows, evidence)),
  },
]

/** The newest rows that are looked at. */
const NEWEST = 20

async function onRows(evidence: Evidence, look: (rows: readonly SessionRow[]) => Result): Promise<Result> {
  const rows = await newestSessions(evidence)
  const none = whyNoEvidence(evidence.project, rows)
  if (none !== null) return { outcome: 'skipped', because: none }
  const readable = rows.django.filter(({ diagnosis }) => diagnosis?.reason === null).slice(0, NEWEST)
  if (readable.length === 0)
    return { outcome: 'skipped', because: "none of Django's newest sessions can be read" }
  return look(readable)
}

function csrfResult(rows: readonly SessionRow[], { project }: Evidence): Result {
  const { useSessions } = project.settings.csrf
  const withToken = rows.filter((row) => has(row, '_csrftoken')).length
  const loggedIn = rows.filter((row) => has(row, '_auth_user_id'))
  if (!useSessions && withToken > 0)
    return {
      outcome: 'failed',
      read: `${withToken} of the newest sessions of Django hold a CSRF token, and CSRF_USE_SESSIONS is False`,
      hint: 'set CSRF_USE_SESSIONS=True, if it is in settings.py; tokens of a former setting go with their sessions',
    }
  if (useSessions && loggedIn.length > 0 && withToken === 0)
    return {
      outcome: 'failed',
      read: `none of the ${sessionsText(loggedIn.length)} of Django with a user holds a CSRF token, and CSRF_USE_SESSIONS is True`,
      hint: 'leave CSRF_USE_SESSIONS empty, if settings.py does not set it',
    }
  return {
    outcome: 'ok',
    read: `${sessionsText(withToken)} with a token; CSRF_USE_SESSIONS is ${useSessions ? 'True' : 'False'}`,
  }
}

function has({ diagnosis }: SessionRow, key: string): boolean {
  return diagnosis?.decoded?.data.has(key) === true
}
