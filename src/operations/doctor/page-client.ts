import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import {
  createConnector,
  UpstreamTimeout,
  UpstreamUnavailable,
} from '../../service/proxy/upstream-connection.ts'
import { http } from '../../service/server/node-http.ts'
import { parseSetCookie, type ReceivedCookie } from './cookie-jar.ts'

/** An answer to a GET. */
export interface Page {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly cookies: readonly ReceivedCookie[]
  /** At most LARGEST_BODY bytes of it. */
  readonly body: string
  /** Milliseconds until the connection was open. */
  readonly connecting: number
  /** Milliseconds until the answer was there. */
  readonly answering: number
}

export interface PageClientOptions {
  /** `http://host:port`, `https://host:port`, or `unix:/path` of a socket. */
  readonly url: string
  /** PEM certificates of the authority that signed the server's; null: the authorities that Node trusts. */
  readonly ca: string | null
  /** Milliseconds for a whole answer. */
  readonly timeout: number
  readonly monotonic?: () => number
}

/** Asks one server for pages, over a connection of its own each time, as the service does. */
export interface PageClient {
  readonly url: string
  /** @throws {UpstreamUnavailable} {UpstreamTimeout} */
  get(path: string, headers: Readonly<Record<string, string>>): Promise<Page>
}

/** The bytes of a body that are read at most. */
export const LARGEST_BODY: number = 256 * 1024

/** The maximum bytes of a response's head, as in the service. */
const LARGEST_HEAD = 64 * 1024

/** Milliseconds for connecting. */
const CONNECT_TIMEOUT = 5000

export function createPageClient({
  url,
  ca,
  timeout,
  monotonic = () => performance.now(),
}: PageClientOptions): PageClient {
  const connect = createConnector({
    url,
    ca: ca ?? undefined,
    timeout: Math.min(timeout, CONNECT_TIMEOUT),
  })
  return {
    url,
    async get(path, headers) {
      const start = monotonic()
      const socket = await connect()
      const connecting = monotonic() - start
      const { promise, resolve, reject } = Promise.withResolvers<{
        response: IncomingMessage
        body: string
      }>()
      const request = http.request({
        createConnection: () => socket,
        path,
        headers,
        maxHeaderSize: LARGEST_HEAD,
      })
      const late = () => request.destroy(new UpstreamTimeout(`no answer came within ${timeout} ms`))
      const timer = setTimeout(late, timeout)
      request.once('error', (error) => reject(failureOf(error)))
      const unanswered = () => reject(failureOf(null))
      request.once('close', unanswered)
      request.once('response', (response) => {
        request.off('close', unanswered)
        readBeginning(response).then(
          (body) => resolve({ response, body }),
          (error) => reject(failureOf(error)),
        )
      })
      request.end()
      try {
        const { response, body } = await promise
        return {
          status: response.statusCode ?? 0,
          headers: response.headers,
          cookies: (response.headers['set-cookie'] ?? []).map(parseSetCookie).filter((one) => one !== null),
          body,
          connecting,
          answering: monotonic() - start,
        }
      } finally {
        clearTimeout(timer)
        socket.destroy() // A kept connection would keep the process running.
      }
    },
  }
}

async function readBeginning(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= LARGEST_BODY) break // This destroys the response.
  }
  return Buffer.concat(chunks).toString('utf8', 0, LARGEST_BODY)
}

function failureOf(error: unknown): Error {
  if (error instanceof UpstreamTimeout || error instanceof UpstreamUnavailable) return error
  return new UpstreamUnavailable('the server did not answer', { cause: error })
}

/** What was found, and what to do about it. */
export interface Problem {
  readonly read: string
  readonly hint: string
}

/** Whether the server did not answer; any other error is one of the doctor's own. */
export function isNoAnswer(error: unknown): boolean {
  return error instanceof UpstreamTimeout || error instanceof UpstreamUnavailable
}

/** Why a server could not be asked. `setting` is the setting or option with its address. */
export function noAnswer(error: unknown, { url, setting }: { url: string; setting: string }): Problem {
  if (error instanceof UpstreamTimeout) {
    return {
      read: `${url}: ${error.message}`,
      hint: `see whether Django hangs, and whether ${setting} is its address`,
    }
  }
  const cause = error instanceof Error ? error.cause : null
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (error instanceof UpstreamUnavailable && error.message.includes('certificate'))
    return {
      read: `${url}: ${error.message}`,
      hint: 'set DJANGO_UPSTREAM_CA to the authority that signed it',
    }
  if (code.startsWith('HPE_')) {
    return {
      read: `what listens at ${url} does not answer in HTTP`,
      hint: `set ${setting} to an address at which Django is served over HTTP; for uWSGI that is http-socket`,
    }
  }
  const [read, hint] = REASONS[code] ?? [
    'closes the connection without an answer',
    'set SETTING to the address of Django',
  ]
  return { read: `${url} ${read}`, hint: hint.replace('SETTING', setting) }
}

/** By the code of the system: what is wrong with the address, and what to do about SETTING. */
const REASONS: Readonly<Record<string, readonly [read: string, hint: string]>> = {
  ECONNREFUSED: [
    'refuses connections: nothing listens there',
    'set SETTING to the address of Django, and start Django',
  ],
  ENOENT: [
    'is not there: the socket does not exist',
    'set SETTING to the socket of Django, and start Django',
  ],
  EACCES: [
    'may not be opened by this process',
    'give this process the right to write to the socket that SETTING names',
  ],
  ENOTFOUND: ['does not resolve', 'set SETTING to the address of Django'],
  EAI_AGAIN: ['does not resolve', 'set SETTING to the address of Django'],
  EHOSTUNREACH: ['cannot be reached', 'set SETTING to the address of Django'],
  ENETUNREACH: ['cannot be reached', 'set SETTING to the address of Django'],
}
