import { code, generatedFrom, table } from './markdown.ts'
import { logEvents } from './source.ts'

/** docs/log-events.md: a row for each event. @throws when an event has no text, or a text no event. */
export function logEventsPage(): string {
  const events = logEvents()
  const unexplained = [...events.keys()].filter((event) => !(event in EVENTS))
  if (unexplained.length > 0)
    throw new Error(
      `tools/docs/log-events-page.ts does not explain ${unexplained.join(', ')}; add the events to EVENTS`,
    )
  const unknown = Object.keys(EVENTS).filter((event) => !events.has(event))
  if (unknown.length > 0)
    throw new Error(
      `nothing under src/ logs ${unknown.join(', ')}; remove it from tools/docs/log-events-page.ts`,
    )
  const rows = [...events].map(([event, levels]) => [
    code(event),
    levels.join(', '),
    (EVENTS[event]?.fields ?? []).map(code).join(', '),
    EVENTS[event]?.meaning ?? '',
  ])
  return `${generatedFrom('tools/docs/log-events-page.ts')}
# Log events

${INTRODUCTION}

${table(['event', 'level', 'fields', 'meaning, and what to do'], rows)}
`
}

const INTRODUCTION = `The service writes one line for each event to standard output: JSON with the event's name in \`event\`, or on a terminal a
line for a person (\`LOG_FORMAT\`). Names of events stay; further fields may be added. \`error\`: someone must act. \`warn\`:
suspicious. \`info\`: life cycle and requests. \`debug\`: health checks and details of a failed start.

Cookies, session keys, session data and secrets are never in the log. A session key is shown as a short hash, which is
keyed anew in each process. An error is logged by its name, its \`code\` ([errors](errors.md)), its stack frames and its
causes; only errors with an \`ERR_…\` code show their message, since those of drivers quote rows.`

interface EventText {
  readonly fields: readonly string[]
  readonly meaning: string
}

/** The fields of `errorFields` (src/service/monitoring/log.ts). */
const ERROR = ['error', 'code', 'message', 'frames', 'cause'] as const

/** What each event means, and what to do about it. */
const EVENTS: Readonly<Record<string, EventText>> = {
  'auth.login': {
    fields: ['requestId', 'userId'],
    meaning: 'A user logged in by the login page of this service.',
  },
  'auth.login_failed': {
    fields: ['requestId'],
    meaning: 'A login failed. The name is not logged: people type passwords into the wrong field.',
  },
  'auth.login_limited': {
    fields: ['requestId', 'by'],
    meaning:
      'Too many logins failed, by `name` or by `address`; answered with 429. Many of them: someone guesses passwords. If all visitors seem to have one address, set `TRUSTED_PROXY`.',
  },
  'auth.logout': {
    fields: ['requestId', 'userId'],
    meaning: 'A user logged out by the page of this service.',
  },
  'auth.password_refused': {
    fields: ['userId', 'refusal'],
    meaning:
      'The stored password hash has an algorithm that is not supported or not in `PASSWORD_HASHERS`. The user can log in by the page of Django, which may also bring the hash up to date.',
  },
  'auth.unverified': {
    fields: ['reason', 'message'],
    meaning:
      'The hash of a logged-in session does not verify, and none has verified yet in this process. Its visitor is anonymous here; the session stays. Check `DJANGO_SECRET_KEY`, `DJANGO_VERSION` and `AUTH_SESSION_HASH`.',
  },
  'demo.created': { fields: ['file'], meaning: 'The embedded demo was created in this file.' },
  'demo.users_added': {
    fields: ['file'],
    meaning:
      'The users of the demo were added to the file of the embedded demo: an earlier version had created it without any. The login page shows their passwords.',
  },
  'django.profile': {
    fields: ['version', 'given', 'useTz', 'timeZone'],
    meaning:
      'The version and time zone of Django that the service works with; `given`: whether `DJANGO_VERSION` is set.',
  },
  'doctor.failed': {
    fields: ERROR,
    meaning: 'The doctor itself failed. Sessions are not affected.',
  },
  'doctor.finding': {
    fields: ['id', 'level', 'read', 'hint'],
    meaning:
      'A check of the [doctor](doctor.md) failed: `read` is what was found, `hint` what to do. The cheap checks run after the start, and once more when the first session that another program wrote is read. Each id is logged once.',
  },
  'health.unavailable': {
    fields: ['check', ...ERROR],
    meaning: '`/health/ready` answered 503. `check` names what is missing. Readiness returns by itself.',
  },
  'http.broken': {
    fields: ERROR,
    meaning: 'A response failed after its head was sent, for example since the client left.',
  },
  'http.failure': {
    fields: ['requestId', 'status', ...ERROR],
    meaning: 'A request was answered with 500 or above. The error page shows the `requestId`.',
  },
  'http.request': {
    fields: ['requestId', 'method', 'path', 'status', 'durationMs', 'session', 'aborted'],
    meaning:
      'A request is over. `session`: `none`, `loaded`, `new`, `saved`, `merged`, `interrupted` or `unreadable`. The path is whole for pages of this service; of others it is the first segment, or the pattern of `LOG_PATHS` that matches.',
  },
  'metrics.broken': { fields: ERROR, meaning: 'A response with metrics failed.' },
  'metrics.listening': { fields: ['url'], meaning: 'Metrics are served at this address.' },
  'metrics.unavailable': {
    fields: ['port', 'hint'],
    meaning: 'The default port of the metrics is taken, so there are none. Set `METRICS_PORT`.',
  },
  'security.csrf': {
    fields: ['requestId', 'reason'],
    meaning: 'A form was refused with 403. `reason` is in the words of Django. See `ERR_CSRF`.',
  },
  'security.disallowed_host': {
    fields: ['requestId', 'host', 'hint'],
    meaning: 'A request named a host that is not in `ALLOWED_HOSTS`; answered with 400.',
  },
  'service.crashed': {
    fields: ERROR,
    meaning:
      'An error that nothing caught ends the process. Report it; a supervisor should start the service again.',
  },
  'service.killed': {
    fields: ['running'],
    meaning:
      'Requests were still running 10 seconds after the end of listening. The process ends with status 1.',
  },
  'service.listening': { fields: ['url'], meaning: 'The service listens at this address.' },
  'service.ready': { fields: [], meaning: 'The database was checked, and pages are served.' },
  'service.start_failed': {
    fields: ERROR,
    meaning: 'Where an unexpected failure of the start happened. See `ERR_UNEXPECTED`.',
  },
  'service.stopped': { fields: [], meaning: 'All requests are finished. The process ends with status 0.' },
  'service.stopping': {
    fields: ['signal'],
    meaning: 'A signal was received; `/health/ready` answers 503 from now on.',
  },
  'service.waiting': {
    fields: ['code', 'message'],
    meaning:
      'The database cannot be used yet; the service tries again and answers 503 meanwhile. The message names host, port and setting.',
  },
  'session.cache_failed': {
    fields: ['owed', 'givenUp', ...ERROR],
    meaning:
      'An operation on the cache of `cached_db` failed. `owed` copies are still to be removed from it; `givenUp` will not be tried again, and Django serves them until they expire.',
  },
  'session.lost_change': {
    fields: ['keys', 'hint'],
    meaning:
      'In development only: a value inside these keys was changed, and the session was not. Set `session.modified = true`, or call `set`.',
  },
  'session.unreadable': {
    fields: ['keyHash', 'reason', 'message'],
    meaning:
      'A stored session cannot be read. Its visitor gets a new session; the row stays. See `ERR_SESSION_UNREADABLE`.',
  },
  'settings.warning': {
    fields: ['warning'],
    meaning: 'Something about the settings that works, and that one should know or change.',
  },
  'upstream.busy': {
    fields: ['kind', 'connections', 'waiting'],
    meaning:
      'All connections to Django are in use. Give Django more workers, or raise `DJANGO_UPSTREAM_CONNECTIONS` or `DJANGO_UPSTREAM_WEBSOCKETS`.',
  },
  'upstream.unusable': {
    fields: ERROR,
    meaning: 'Django answered with a status or a header that cannot be passed on.',
  },
}
