import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { quoted } from '../../checks/quoted.ts'
import type { Environment } from './environment.ts'

export interface UpstreamSettings {
  /** DJANGO_UPSTREAM: `http://host:port`, `https://host:port` or `unix:/path`, without a slash at the end. */
  readonly url: string
  /** DJANGO_UPSTREAM_TIMEOUT: the longest silence, in seconds. */
  readonly timeout: number
  /** DJANGO_UPSTREAM_CONNECTIONS: the most connections for requests. */
  readonly connections: number
  /** DJANGO_UPSTREAM_KEEPALIVE: the longest pause of a connection between two requests, in seconds; 0 for none. */
  readonly keepAlive: number
  /** DJANGO_UPSTREAM_WEBSOCKETS: the most WebSockets. */
  readonly webSockets: number
  /** DJANGO_UPSTREAM_BUFFER: bytes of a body that are read before the request goes to Django. */
  readonly buffer: number
  /** The content of the file DJANGO_UPSTREAM_CA; null for the authorities that Node trusts. */
  readonly ca: string | null
}

/** Null when DJANGO_UPSTREAM is not set. */
export function readUpstream(environment: Environment, problems: string[]): UpstreamSettings | null {
  const timeout = environment.number('DJANGO_UPSTREAM_TIMEOUT', 60)
  const connections = environment.number('DJANGO_UPSTREAM_CONNECTIONS', 100)
  const keepAlive = environment.number('DJANGO_UPSTREAM_KEEPALIVE', 1)
  const webSockets = environment.number('DJANGO_UPSTREAM_WEBSOCKETS', 1000)
  const buffer = environment.number('DJANGO_UPSTREAM_BUFFER', 1024 ** 2)
  const ca = readAuthority(environment, problems)
  const text = environment.text('DJANGO_UPSTREAM')
  if (text === null) return null
  const url = originOf(text)
  if (url === null) {
    problems.push(
      `DJANGO_UPSTREAM is not the address of a server; write http://127.0.0.1:8000, https://host or unix:/path/to/socket, without a path and without a user`,
    )
    return null
  }
  const port = Number(environment.text('PORT') ?? 3000)
  if (isOurselves(url, environment.text('HOST') ?? '127.0.0.1', port)) {
    problems.push('DJANGO_UPSTREAM is the HOST and PORT of this service itself; set it to those of Django')
  }
  if (ca !== null && !url.startsWith('https:')) {
    problems.push(
      'DJANGO_UPSTREAM_CA is set, but DJANGO_UPSTREAM is not https://…; remove one, or change the other',
    )
  }
  return { url, timeout, connections, keepAlive, webSockets, buffer, ca }
}

/** The certificates in the file DJANGO_UPSTREAM_CA; null when it is not set, or wrong. */
function readAuthority(environment: Environment, problems: string[]): string | null {
  const filename = environment.text('DJANGO_UPSTREAM_CA')
  if (filename === null) return null
  try {
    const certificates = readFileSync(filename, 'utf8')
    new X509Certificate(certificates)
    return certificates
  } catch (error) {
    const isMissing = error instanceof Error && 'syscall' in error
    problems.push(
      `DJANGO_UPSTREAM_CA ${quoted(filename)} ${isMissing ? 'cannot be read' : 'holds no certificate'}; set it to a PEM file of the authority that signed the upstream's certificate`,
    )
    return null
  }
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
