import { isAllowedHost } from '../../django/hosts.ts'
import type { Project } from '../open-project.ts'
import { type Check, failed, ok, type Result } from './check.ts'
import { hasDefaultHosts } from './django-pages.ts'

/** Settings of this service that browsers and the proxy in front must agree with. */
export const OWN_SETTING_CHECKS: readonly Check[] = [
  {
    id: 'http.E001',
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
    id: 'http.E002',
    title: 'SESSION_COOKIE_DOMAIN fits the hosts of ALLOWED_HOSTS',
    meaning:
      'Reads both settings. A browser refuses a cookie for a domain to which the host does not belong, so every request there begins a new session.',
    remedy:
      'Leave `SESSION_COOKIE_DOMAIN` empty, or set it to a domain that all hosts have in common, here and in settings.py.',
    isCheap: true,
    run: async ({ project: { settings } }) => checkDomain(settings),
  },
]

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
