import type { CookieSettings } from '../../django/cookie.ts'
import { isAllowedHost } from '../../django/hosts.ts'
import { MESSAGES_COOKIE, MESSAGES_SESSION_KEY } from '../../django/messages.ts'
import { selectRows } from '../../sql/executor.ts'
import type { Project } from '../open-project.ts'
import type { Check, CheckId, Evidence, Result } from './check.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import { hasDefaultHosts, hasForm, hostsOf, type Visit } from './django-pages.ts'
import { ageResult, EXPIRY } from './round-trip-results.ts'
import { LONGEST_ANSWER, readUpstream, type UpstreamReading } from './upstream-reading.ts'

const SECURE = 'http.E001'
const DOMAIN = 'http.E002'
const ANSWERS = 'http.E003'
const LOOP = 'http.E004'
const HOSTS = 'http.E005'
const REDIRECTS = 'http.E006'
const IS_DJANGO = 'http.E007'
const NAME = 'http.E008'

/** What must be right before an answer says anything about Django's settings. */
const REACHED: readonly CheckId[] = [ANSWERS, LOOP, HOSTS, REDIRECTS, IS_DJANGO]

/** The cookies of both sides, and the way from the visitor through the service to Django. */
export const HTTP_CHECKS: readonly Check[] = [
  {
    id: SECURE,
    title: 'browsers send the session cookie back',
    meaning:
      'Reads `SESSION_COOKIE_SECURE` and `TRUSTED_PROXY`. The service itself speaks HTTP. A browser sends a secure cookie only over HTTPS, so without HTTPS in front every request begins a new session: the page says "1 time" for ever.',
    remedy:
      'With HTTPS in front of the service, set `TRUSTED_PROXY` to what that proxy sends. Without HTTPS, set `SESSION_COOKIE_SECURE=False` here and in settings.py.',
    isCheap: true,
    async run({ project: { settings } }) {
      if (!settings.session.cookie.secure) return ok('SESSION_COOKIE_SECURE is False')
      if (settings.trustedProxy.includes('proto'))
        return ok('secure cookies, and HTTPS by the proxy in front')
      return failed(
        'SESSION_COOKIE_SECURE is True, and no proxy in front is trusted to say that visitors use HTTPS',
        'with HTTPS in front set TRUSTED_PROXY=host,proto,for (what that proxy sends); without HTTPS set SESSION_COOKIE_SECURE=False on both sides',
      )
    },
  },
  {
    id: DOMAIN,
    title: 'SESSION_COOKIE_DOMAIN fits the hosts of ALLOWED_HOSTS',
    meaning:
      'Reads both settings. A browser refuses a cookie for a domain to which the host does not belong, so every request there begins a new session.',
    remedy:
      'Leave `SESSION_COOKIE_DOMAIN` empty, or set it to a domain that all hosts have in common, here and in settings.py.',
    isCheap: true,
    run: async ({ project: { settings } }) => checkDomain(settings),
  },
  {
    id: ANSWERS,
    title: 'DJANGO_UPSTREAM answers',
    meaning:
      'Asks Django for a few pages, by GET, as the service passes requests on. Visitors see 502 or 504 while it does not answer. A session that Django makes for these visits is deleted at the end.',
    remedy: 'Start Django, or set `DJANGO_UPSTREAM` to its address. The message has the reason.',
    isCheap: false,
    run: throughUpstream(({ failure, address, slowest }) =>
      failure === null
        ? ok(`${address} answered within ${Math.ceil(slowest)} ms`)
        : { outcome: 'failed', ...failure },
    ),
  },
  {
    id: LOOP,
    title: 'DJANGO_UPSTREAM is not this service',
    meaning:
      'Asks for `/health/live`, which only this service answers as it does. If it asks itself, each request goes round until the connections are used up.',
    remedy:
      'Set `DJANGO_UPSTREAM` to the address at which Django itself listens, not to that of a proxy in front.',
    after: [ANSWERS],
    isCheap: false,
    run: throughUpstream(({ isOurselves, address }) =>
      isOurselves
        ? failed(
            `what answers at ${address} is this service (or another process of it), not Django`,
            'set DJANGO_UPSTREAM to the address at which Django itself listens',
          )
        : ok(`${address} is another server`),
    ),
  },
  {
    id: HOSTS,
    title: 'Django accepts the hosts of ALLOWED_HOSTS',
    meaning:
      'Asks Django for a page under each host that this service allows; `Host` is passed on as the visitor sent it. For a host that is not in its own ALLOWED_HOSTS Django answers 400.',
    remedy: 'Set `ALLOWED_HOSTS` to the same list here and in settings.py.',
    after: [ANSWERS, LOOP],
    isCheap: false,
    run: throughUpstream(({ refusedHosts, host }) =>
      refusedHosts.length === 0
        ? ok(`Django answers for ${host}`)
        : failed(
            `Django answers 400 for the host ${refusedHosts.join(', ')}, which this service allows`,
            "add it to ALLOWED_HOSTS in settings.py, or set ALLOWED_HOSTS here to Django's list",
          ),
    ),
  },
  {
    id: REDIRECTS,
    title: 'Django does not send visitors elsewhere',
    meaning:
      'Follows redirects within the site. If Django redirects every page to HTTPS (SECURE_SSL_REDIRECT) although visitors use HTTPS, or to another host, no page is ever shown through this service.',
    remedy:
      'With HTTPS in front, set `TRUSTED_PROXY` here and `SECURE_PROXY_SSL_HEADER` in settings.py. For another host, visit the site under that name, or set `DJANGO_UPSTREAM` to Django itself.',
    after: [ANSWERS, LOOP, HOSTS],
    isCheap: false,
    run: throughUpstream(checkRedirects),
  },
  {
    id: IS_DJANGO,
    title: 'the server at DJANGO_UPSTREAM is Django',
    meaning:
      "Looks for marks of Django in the answers: its error pages, its forms, its headers, the servers that run it. Pages that this service passes on would be another site's.",
    remedy:
      'Set `DJANGO_UPSTREAM` to the address of Django. If Django does answer there, and its pages have none of these marks, silence this check.',
    after: [ANSWERS, LOOP, HOSTS, REDIRECTS],
    isCheap: false,
    run: throughUpstream(({ isDjango, address, visits }) =>
      isDjango
        ? ok(`the answers of ${address} are Django's`)
        : failed(
            `nothing in the answers of ${address} to ${pathsOf(visits)} looks like Django`,
            'set DJANGO_UPSTREAM to the address of Django',
          ),
    ),
  },
  {
    id: NAME,
    title: "SESSION_COOKIE_NAME is Django's",
    meaning:
      'Compares the name with the cookie that Django sets. With two names, each side has a session of its own, and each counts alone.',
    remedy: 'Set `SESSION_COOKIE_NAME` as in settings.py.',
    after: REACHED,
    isCheap: false,
    run: throughUpstream((reading, { settings }) => {
      const { name } = settings.session.cookie
      const cookie = reading.session?.cookie ?? reading.deletion
      if (cookie === null) return noSession(reading)
      return cookie.name === name
        ? ok(name)
        : failed(
            `Django's session cookie is ${cookie.name}, and ours is ${name}`,
            `set SESSION_COOKIE_NAME=${cookie.name}`,
          )
    }),
  },
  {
    id: 'http.E009',
    title: "SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH are Django's",
    meaning:
      'Compares both with the cookie that Django sets. If they differ, a browser keeps two cookies of one name, and sends both: each side replaces its own, so visitors are logged in and out in turns.',
    remedy: 'Set both as in settings.py. Visitors who have two cookies already must delete them.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream((reading, { settings }) => {
      const cookie = reading.session?.cookie ?? reading.deletion
      if (cookie === null) return noSession(reading)
      const differences = placeDifferences('SESSION_COOKIE', cookie, settings.session.cookie)
      if (differences.length === 0) return ok(`Path=${cookie.path}, ${cookie.domain ?? 'no Domain'}`)
      return differs(differences, `; a browser keeps two cookies ${cookie.name} then`)
    }),
  },
  {
    id: 'http.W010',
    title: "SESSION_COOKIE_SECURE, _HTTPONLY and _SAMESITE are Django's",
    meaning:
      'Compares them with the cookie that Django sets. The session is shared, but the cookie has the attributes of the side that saved last, so the stricter side does not protect it.',
    remedy: 'Set them as in settings.py.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream((reading, { settings }) => {
      if (reading.session === null) return noSession(reading)
      const differences = flagDifferences('SESSION_COOKIE', reading.session.cookie, settings.session.cookie)
      return differences.length === 0 ? ok('all three are equal') : differs(differences)
    }),
  },
  {
    id: 'http.W011',
    title: "SESSION_COOKIE_AGE and SESSION_EXPIRE_AT_BROWSER_CLOSE are Django's",
    meaning:
      'Compares them with the Max-Age that Django gives to a new session. The end of a session depends on the side that saved last.',
    remedy: 'Set both as in settings.py.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream(checkAge),
  },
  {
    id: 'http.E012',
    title: 'a session that Django makes can be read here',
    meaning:
      'Looks for the session of its visit where these settings keep sessions, and reads it. If it is not there, the two sides use different databases or engines; if it cannot be read, the key, the version or the serializer differs. Each side then counts alone.',
    remedy:
      'The message names the setting: `DATABASE_URL`, `SESSION_ENGINE`, `CACHES`, `DJANGO_SECRET_KEY`, `DJANGO_VERSION`, `SESSION_SERIALIZER` or `SESSION_STORE_CLASS`. `doctor --round-trip` shows the other direction too.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream((reading) => {
      if (reading.session === null) return noSession(reading)
      const { problem } = reading.session
      return problem === null
        ? ok('a new session of Django was found and read')
        : { outcome: 'failed', ...problem }
    }),
  },
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
  {
    id: 'http.W016',
    title: 'TRUSTED_PROXY is set where visitors use HTTPS',
    meaning:
      'Looks for signs that visitors use HTTPS: secure cookies, HSTS, origins with `https://`. Without `TRUSTED_PROXY` this service takes their requests for plain HTTP, so forms are 403 and Django redirects to HTTPS without end.',
    remedy: 'Set `TRUSTED_PROXY` to those of `host`, `proto` and `for` that the proxy in front sets.',
    after: [SECURE],
    isCheap: false,
    run: checkTrustedProxy,
  },
  {
    id: 'http.W017',
    title: 'Django answers well within DJANGO_UPSTREAM_TIMEOUT',
    meaning:
      'Measures the slowest of its visits. Visitors see 504 for an answer that takes longer than this setting.',
    remedy: 'Find out why Django is slow, or raise `DJANGO_UPSTREAM_TIMEOUT`.',
    after: REACHED,
    isCheap: false,
    run: throughUpstream(({ slowest }, { settings: { upstream } }) => {
      const timeout = upstream?.timeout ?? LONGEST_ANSWER
      const read = `the slowest answer took ${Math.ceil(slowest)} ms, and DJANGO_UPSTREAM_TIMEOUT is ${timeout} s`
      if (slowest < timeout * 500) return ok(read)
      return failed(read, 'find out why Django is slow, or raise DJANGO_UPSTREAM_TIMEOUT')
    }),
  },
  {
    id: 'http.I018',
    title: 'what a connection to Django costs',
    meaning:
      'Measures connecting, and whether Django’s server keeps connections (gunicorn’s sync workers end each one). The service keeps connections for `DJANGO_UPSTREAM_KEEPALIVE`, and sends only requests without a body that may be repeated (GET, HEAD, OPTIONS) over them. Each other request opens a connection: the server may end a kept one at that moment, and a POST cannot be repeated.',
    remedy: 'Nothing. With `https://` over a long way, let Django listen nearer.',
    after: REACHED,
    isCheap: false,
    run: throughUpstream(({ connecting, keepsConnections }, { settings: { upstream } }) => {
      const isKept = keepsConnections && (upstream?.keepAlive ?? 0) > 0
      const which = isKept ? 'a new one, which a POST always opens' : 'each request opens one'
      const server = `Django's server ${keepsConnections ? 'keeps' : 'ends'} connections`
      return ok(`connecting took up to ${connecting.toFixed(1)} ms (${which}); ${server}`)
    }),
  },
]

const ok = (read: string): Result => ({ outcome: 'ok', read })
const failed = (read: string, hint: string): Result => ({ outcome: 'failed', read, hint })
const skipped = (because: string): Result => ({ outcome: 'skipped', because })

/** A check of what requests through DJANGO_UPSTREAM show. */
function throughUpstream(look: (reading: UpstreamReading, project: Project) => Result): Check['run'] {
  return async (evidence) => {
    const reading = await readUpstream(evidence)
    return reading === null ? skipped('DJANGO_UPSTREAM is not set') : look(reading, evidence.project)
  }
}

function noSession({ visits }: UpstreamReading): Result {
  return skipped(`none of the pages ${pathsOf(visits)} made a session for a new visitor; see --round-trip`)
}

function pathsOf(visits: readonly Visit[]): string {
  return visits.map(({ path }) => path).join(', ')
}

function checkDomain({ session, allowedHosts }: Project['settings']): Result {
  const given = session.cookie.domain
  if (given === null) return ok('SESSION_COOKIE_DOMAIN is empty: the host itself')
  const domain = given.replace(/^\./, '').toLowerCase()
  const patterns = allowedHosts.filter((pattern) => pattern !== '*')
  const others = patterns.filter((pattern) => !fits(domain, pattern.toLowerCase()))
  const fitsNone = others.length === allowedHosts.length
  // Without ALLOWED_HOSTS, its names of this machine are not those of visitors.
  if (others.length === 0 || (hasDefaultHosts({ allowedHosts }) && !fitsNone)) return ok(`${given} fits`)
  return failed(
    `browsers refuse a cookie for ${given} at ${fitsNone ? 'every host of ALLOWED_HOSTS: ' : ''}${others.join(', ')}`,
    'leave SESSION_COOKIE_DOMAIN empty, or set it to a domain of these hosts, on both sides',
  )
}

/** Whether a browser at a host of this pattern takes a cookie for the domain. Source: RFC 6265, 5.1.3. */
function fits(domain: string, pattern: string): boolean {
  const host = pattern.replace(/^\./, '')
  // `.example.com` allows www.example.com, for which the domain www.example.com is right.
  return isAllowedHost(host, [domain, `.${domain}`]) || (pattern.startsWith('.') && domain.endsWith(pattern))
}

function checkRedirects({ visits, scheme, host }: UpstreamReading): Result {
  const ways = visits.map(({ away }) => away).filter((away) => away !== null)
  const stays = visits.some(({ away, page }) => away === null && page.status < 500)
  const [away] = ways
  if (away === undefined || stays) return ok(`pages are answered for ${scheme}://${host}`)
  if (away.to === 'https') {
    return failed(
      'Django redirects every page to https:// (SECURE_SSL_REDIRECT), because it takes the request for plain HTTP',
      "with HTTPS in front set TRUSTED_PROXY=host,proto,for here, and in settings.py SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https'); without HTTPS set SECURE_SSL_REDIRECT = False there",
    )
  }
  if (away.to === 'itself')
    return failed('Django redirects in a circle', 'see its MIDDLEWARE, SECURE_SSL_REDIRECT and PREPEND_WWW')
  if (scheme === 'https' && away.host === host) {
    return failed(
      'Django redirects every page although X-Forwarded-Proto says https',
      "set SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https') in settings.py",
    )
  }
  return failed(
    `the server redirects every page to another host, ${away.host}`,
    `set DJANGO_UPSTREAM to Django itself; if the site has the name ${away.host}, add it to ALLOWED_HOSTS, and open it under that name`,
  )
}

/** One setting that differs. */
interface Difference {
  readonly setting: string
  readonly theirs: string
  readonly ours: string
}

type Prefix = 'SESSION_COOKIE' | 'CSRF_COOKIE'

function placeDifferences(prefix: Prefix, cookie: ReceivedCookie, ours: CookieSettings): Difference[] {
  const bare = (domain: string | null) => (domain ?? '').replace(/^\./, '').toLowerCase()
  return [
    ...difference(`${prefix}_DOMAIN`, bare(cookie.domain), bare(ours.domain)),
    ...difference(`${prefix}_PATH`, cookie.path ?? '/', ours.path),
  ]
}

function flagDifferences(prefix: Prefix, cookie: ReceivedCookie, ours: CookieSettings): Difference[] {
  return [
    ...difference(`${prefix}_SECURE`, python(cookie.secure), python(ours.secure)),
    ...difference(`${prefix}_HTTPONLY`, python(cookie.httpOnly), python(ours.httpOnly)),
    ...difference(`${prefix}_SAMESITE`, cookie.sameSite ?? 'False', ours.sameSite ?? 'False'),
  ]
}

function difference(setting: string, theirs: string, ours: string): Difference[] {
  return theirs === ours ? [] : [{ setting, theirs, ours }]
}

function python(value: boolean): string {
  return value ? 'True' : 'False'
}

function differs(differences: readonly Difference[], consequence = ''): Result {
  const read = differences.map(
    ({ setting, theirs, ours }) => `${setting} is ${shown(theirs)} in Django and ${shown(ours)} here`,
  )
  const hints = differences.map(({ setting, theirs }) =>
    theirs === '' ? `leave ${setting} empty` : `set ${setting}=${theirs}`,
  )
  return failed(`${read.join(', ')}${consequence}`, hints.join(', '))
}

function shown(value: string): string {
  return value === '' ? 'empty' : value
}

function checkAge(reading: UpstreamReading, { settings }: Project): Result {
  const { session: made } = reading
  if (made === null) return noSession(reading)
  const data = made.reading.kind === 'read' ? made.reading.stored.data : null
  if (data?.has(EXPIRY) === true)
    return skipped('the site gave this session an expiry of its own (set_expiry)')
  const { cookieAge, expireAtBrowserClose } = settings.session
  const { maxAge } = made.cookie
  if (maxAge === null && !expireAtBrowserClose)
    return failed(
      "Django's cookie ends when the browser closes, and ours lasts",
      'set SESSION_EXPIRE_AT_BROWSER_CLOSE=True',
    )
  if (maxAge !== null && expireAtBrowserClose)
    return failed(
      "Django's cookie lasts, and ours ends when the browser closes",
      'set SESSION_EXPIRE_AT_BROWSER_CLOSE=False',
    )
  return ageResult(maxAge, cookieAge)
}

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

async function checkTrustedProxy(evidence: Evidence): Promise<Result> {
  const { settings } = evidence.project
  if (settings.trustedProxy.includes('proto'))
    return ok(`TRUSTED_PROXY is ${settings.trustedProxy.join(',')}`)
  const visits = (await readUpstream(evidence))?.visits ?? []
  const signs = [
    ...(settings.csrf.trustedOrigins.some((origin) => origin.startsWith('https://'))
      ? ['CSRF_TRUSTED_ORIGINS has https:// origins']
      : []),
    ...(settings.hsts === null ? [] : ['SECURE_HSTS_SECONDS is set']),
    ...(settings.csrf.cookie.secure ? ['CSRF_COOKIE_SECURE is True'] : []),
    ...(visits.some(({ cookies }) => cookies.some(({ secure }) => secure))
      ? ["Django's cookies are secure"]
      : []),
    ...(visits.some(({ page }) => 'strict-transport-security' in page.headers) ? ['Django sends HSTS'] : []),
  ]
  if (signs.length === 0) return ok(`no sign of HTTPS in front; hosts: ${hostsOf(settings).join(', ')}`)
  return failed(
    `${signs.join(', ')}: visitors use HTTPS, and TRUSTED_PROXY does not name proto`,
    'set TRUSTED_PROXY=host,proto,for, or those of them that the proxy in front sets',
  )
}
