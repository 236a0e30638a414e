import { type Check, type Evidence, failed, ok, type Result } from './check.ts'
import { hostsOf } from './django-pages.ts'
import {
  ANSWERS,
  HOSTS,
  IS_DJANGO,
  LOOP,
  pathsOf,
  REACHED,
  REDIRECTS,
  throughUpstream,
} from './through-upstream.ts'
import { LONGEST_ANSWER, readUpstream, type UpstreamReading } from './upstream-reading.ts'

/** The way from the visitor through the service to Django. */
export const UPSTREAM_CHECKS: readonly Check[] = [
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
]

/** What can be better on that way. */
export const UPSTREAM_WARNINGS: readonly Check[] = [
  {
    id: 'http.W016',
    title: 'TRUSTED_PROXY is set where visitors use HTTPS',
    meaning:
      'Looks for signs that visitors use HTTPS: secure cookies, HSTS, origins with `https://`. Without `TRUSTED_PROXY` this service takes their requests for plain HTTP, so forms are 403 and Django redirects to HTTPS without end.',
    remedy: 'Set `TRUSTED_PROXY` to those of `host`, `proto` and `for` that the proxy in front sets.',
    after: ['http.E001'],
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
