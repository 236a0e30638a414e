import type { OutgoingHttpHeader, ServerResponse } from 'node:http'

/** The methods that send a response's headers, or what must come after them. */
const METHODS = ['flushHeaders', 'writeHead', 'write', 'end'] as const

type Method = (typeof METHODS)[number]

/**
 * Holds a response back, from when its handler begins to answer, until `prepare` has run with its status: it may still
 * set headers. Then the response goes out as its handler wrote it; where `prepare` fails nothing of it does, and
 * `onFailure` answers instead.
 */
export function holdResponse(
  response: ServerResponse,
  prepare: (status: number) => Promise<void>,
  onFailure: (error: unknown) => void,
): void {
  const calls: (() => unknown)[] = []
  const replaced = new Map<Method, (...args: never[]) => unknown>()
  let isHolding = false

  function restore(): void {
    for (const [name, method] of replaced) Object.assign(response, { [name]: method })
    Reflect.deleteProperty(response, 'headersSent')
  }

  async function hold(): Promise<void> {
    // To its handler the answer has begun: an error after this is no reason to begin another one.
    Object.defineProperty(response, 'headersSent', { value: true, configurable: true })
    try {
      await prepare(response.statusCode)
    } catch (error) {
      restore()
      for (const name of response.getHeaderNames()) if (BODY_HEADERS.has(name)) response.removeHeader(name)
      onFailure(error)
      return
    }
    restore()
    for (const call of calls) call()
    // Whoever was told by `write` to wait goes on.
    if (!response.writableEnded && !response.writableNeedDrain) response.emit('drain')
  }

  for (const name of METHODS) {
    const method: (...args: never[]) => unknown = response[name]
    replaced.set(name, method)
    const held = (...args: never[]): unknown => {
      if (name === 'writeHead') readHead(response, args)
      else calls.push(() => method.apply(response, args))
      if (!isHolding) {
        isHolding = true
        void hold()
      }
      return name === 'write' ? false : response
    }
    Object.assign(response, { [name]: held })
  }
}

/** Headers of the answer that is not sent; they would describe another one. */
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
  'transfer-encoding',
])

/** What `writeHead` was given, kept where headers can still be added. Source: Node's lib/_http_server.js, writeHead. */
function readHead(response: ServerResponse, args: readonly unknown[]): void {
  const [status, ...rest] = args
  if (typeof status === 'number') response.statusCode = status
  for (const part of rest) {
    if (typeof part === 'string') response.statusMessage = part
    else for (const [name, value] of headersIn(part)) response.setHeader(name, value)
  }
}

/** An object, a list of pairs, or a flat list. */
function headersIn(headers: unknown): [name: string, value: OutgoingHttpHeader][] {
  if (typeof headers !== 'object' || headers === null) return []
  const entries = Array.isArray(headers)
    ? Array.isArray(headers[0])
      ? headers
      : headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1]]] : []))
    : Object.entries(headers)
  return entries.filter(([, value]) => value !== undefined)
}
