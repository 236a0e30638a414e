import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createUpstream, type UpstreamOptions } from '../../../src/service/proxy/upstream.ts'
import type { Scope } from '../../support/file-scope.ts'
import { type Library, startLibrary } from '../../support/library.ts'

export interface Behind extends Library {
  /** The statements sent to the database. */
  readonly statements: string[]
  /** The names of the routes in the metrics, with their statuses. */
  readonly finished: [route: string | null, status: number | null][]
}

/** The site in front of another server. */
export async function startBefore(
  t: Scope,
  url: string,
  options: Partial<UpstreamOptions> = {},
): Promise<Behind> {
  const statements: string[] = []
  const finished: Behind['finished'] = []
  const trustedProxy = options.trustedProxy ?? []
  const allowedHosts = options.allowedHosts ?? ['127.0.0.1', 'library.example.com']
  let log: UpstreamOptions['log'] | null = null
  const forwarding = (event: 'debug' | 'info' | 'warn' | 'error'): UpstreamOptions['log']['info'] => {
    return (name, fields) => log?.[event](name, fields)
  }
  const library = await startLibrary(t, {
    app: (db) => {
      db.on('query', ({ sql }: { sql: string }) => statements.push(sql))
      const upstream = createUpstream({
        url,
        timeout: 20_000,
        trustedProxy,
        allowedHosts,
        log: {
          debug: forwarding('debug'),
          info: forwarding('info'),
          warn: forwarding('warn'),
          error: forwarding('error'),
        },
        onRequest: ({ route, status }) => finished.push([route, status]),
        ...options,
      })
      return {
        upstream,
        trustedProxy,
        allowedHosts,
        onRequest: ({ route, status }) => void finished.push([route, status]),
        hsts: { maxAge: 60, includeSubDomains: false, preload: false },
      }
    },
  })
  log = library.log
  return { ...library, statements, finished }
}

export interface Behindhand {
  readonly url: string
  readonly server: Server
  /** The raw heads of the requests, in order. */
  readonly heads: string[]
}

/** Starts an upstream on a free port that records the requests. */
export async function startBack(t: Scope, listener: RequestListener): Promise<Behindhand> {
  const heads: string[] = []
  const server = createServer((request, response) => {
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`]
    for (let index = 0; index < request.rawHeaders.length; index += 2)
      lines.push(`${request.rawHeaders[index]?.toLowerCase()}: ${request.rawHeaders[index + 1]}`)
    heads.push(lines.join('\n'))
    listener(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, heads }
}

/** Sends this text unchanged to a site, and returns everything received until the connection ends. */
export async function sendRaw(url: string, text: string): Promise<string> {
  const socket = openSocket(url)
  socket.write(text, 'latin1')
  let answer = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk
  })
  await once(socket, 'close')
  return answer
}

export function openSocket(url: string): Socket {
  const { hostname, port } = new URL(url)
  return connect(Number(port), hostname)
}
