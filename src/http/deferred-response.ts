import type { OutgoingHttpHeader, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { discardBody } from './discard-body.ts'
import { addHeaders, type HeaderStore, type ResponseHeaders } from './response-headers.ts'

/** The methods that send a response's headers, or anything after them. */
const METHODS = ['flushHeaders', 'writeHead', 'write', 'end'] as const

type Method = (typeof METHODS)[number]

/** A stream that is piped into the response. Those of the first versions of Node have no `unpipe`. */
type Source = Partial<Pick<Readable, 'unpipe'>>

/**
 * Holds a response back from the moment its handler begins to answer until `prepare` has run with the response's status.
 * Then the response is sent as its handler wrote it, with the headers that `prepare` returned. If `prepare` fails, nothing
 * of it is sent, the streams that are piped into it end, and `onFailure` answers instead.
 */
export function holdResponse(
  response: ServerResponse,
  prepare: (status: number) => Promise<readonly ResponseHeaders[]>,
  onFailure: (error: unknown) => void,
): void {
  const calls: (() => unknown)[] = []
  const sources = new Set<Source>()
  const onPipe = (source: Source) => void sources.add(source)
  response.on('pipe', onPipe)
  const replaced = new Map<Method, (...args: never[]) => unknown>()
  let isHolding = false

  function restore(): void {
    for (const [name, method] of replaced) Object.assign(response, { [name]: method })
    Reflect.deleteProperty(response, 'headersSent')
    response.off('pipe', onPipe)
  }

  async function hold(): Promise<void> {
    // For the handler, the response has begun: it must not answer a second time after an error.
    Object.defineProperty(response, 'headersSent', { value: true, configurable: true })
    try {
      addHeaders(storeOf(response), await prepare(response.statusCode))
    } catch (error) {
      restore()
      // An error handler keeps a status from 400 on, and the words of it, which were the handler's.
      Object.assign(response, { statusCode: 200, statusMessage: '' })
      for (const source of sources) source.unpipe?.(response)
      // Not before the answer to the failure is sent: `pipeline` ends the response together with its source.
      response.once('close', () => {
        for (const source of sources) discardBody(source)
      })
      for (const name of response.getHeaderNames()) if (BODY_HEADERS.has(name)) response.removeHeader(name)
      onFailure(error)
      return
    }
    restore()
    for (const call of calls) call()
    // A writer that waits, because `write` returned false, continues.
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

function storeOf(response: ServerResponse): HeaderStore {
  return {
    get: (name) => response.getHeader(name),
    set: (name, value) => response.setHeader(name, value),
    append: (name, value) => response.appendHeader(name, value),
  }
}

/** Headers that describe the body; when another body is sent instead, they are removed. */
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
  'transfer-encoding',
])

/** Sets what `writeHead` was given on the response, so that headers can still be added. Source: Node's lib/_http_server.js, writeHead. */
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
