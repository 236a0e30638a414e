import type { Environment } from './environment.ts'

export interface UpstreamSettings {
  /** DJANGO_UPSTREAM: `http://host:port`, `https://host:port` or `unix:/path`, without a slash at the end. */
  readonly url: string
  /** DJANGO_UPSTREAM_TIMEOUT, seconds: the longest silence. */
  readonly timeout: number
}

/** Null where DJANGO_UPSTREAM is not set. */
export function readUpstream(environment: Environment, problems: string[]): UpstreamSettings | null {
  const timeout = environment.number('DJANGO_UPSTREAM_TIMEOUT', 60, {
    min: 0.001,
    max: 86_400,
    integer: false,
  })
  const text = environment.text('DJANGO_UPSTREAM')
  if (text === null) return null
  const url = originOf(text)
  if (url === null) {
    problems.push(
      `DJANGO_UPSTREAM is no address of a server; write http://127.0.0.1:8000, https://host or unix:/path/to/socket, without a path and a user`,
    )
    return null
  }
  const port = Number(environment.text('PORT') ?? 3000)
  if (isOurselves(url, environment.text('HOST') ?? '127.0.0.1', port)) {
    problems.push('DJANGO_UPSTREAM is the HOST and PORT of this service itself; set it to those of Django')
  }
  return { url, timeout }
}

function originOf(text: string): string | null {
  if (/^unix:\/[^?#]+$/.test(text)) return text
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return null
  return url.href === `${url.origin}/` ? url.origin : null
}

function isOurselves(upstream: string, host: string, port: number): boolean {
  const url = URL.parse(upstream)
  if (url === null || url.protocol !== 'http:' || Number(url.port || 80) !== port) return false
  const name = url.hostname.replace(/^\[|\]$/g, '')
  return name === host || (LOCAL.has(name) && (LOCAL.has(host) || ANY.has(host)))
}

const LOCAL: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::'])
