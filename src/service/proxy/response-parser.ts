import { endToEndHeaders, INVALID_VALUE } from './forwarded-headers.ts'

/** What the upstream sent is not an HTTP response, or its end is ambiguous. */
export class MalformedResponse extends Error {
  override name = 'MalformedResponse'
  readonly code: string = 'HPE_MALFORMED_RESPONSE'
}

/** The head of the upstream's response is larger than the limit. The code is that of Node's own parser. */
export class ResponseHeadTooLarge extends Error {
  override name = 'ResponseHeadTooLarge'
  readonly code: string = 'HPE_HEADER_OVERFLOW'
}

export interface ResponseHead {
  readonly status: number
  readonly reason: string
  /** Names and values in turn, unchanged and in order, without the headers of the connection. */
  readonly headers: readonly string[]
}

export interface ResponseParserOptions {
  /** Whether the request was a HEAD: its response has no body, whatever the headers say. */
  readonly isHead: boolean
  /** The maximum bytes of the head. */
  readonly headLimit: number
  readonly onHead: (head: ResponseHead) => void
  /** `isLast`: the response is complete with this part, which may be empty. */
  readonly onBody: (part: Buffer, isLast: boolean) => void
}

export interface ResponseParser {
  /** Reads what the upstream has sent. @throws {MalformedResponse} {ResponseHeadTooLarge} and what the callbacks throw */
  read(chunk: Buffer): void
  /** The upstream has ended its side: completes a response without a length. Returns whether the response is complete. */
  end(): boolean
  /**
   * The seconds for which the connection may be kept after this response: Infinity without a limit of the server, 0 if it
   * must not be used again.
   */
  keepAlive(): number
}

type State = 'head' | 'length' | 'size' | 'data' | 'gap' | 'trailer' | 'rest' | 'complete'

/** The maximum bytes of a chunk's size with its extensions, and of all trailers. */
const LINE_LIMIT = 4096

/**
 * Reads one response, whose end must be certain: another visitor's response may follow on the same connection. What
 * servers may read in two ways is refused: two lengths, a length beside a transfer coding, another coding than `chunked`,
 * folded lines, line ends other than CRLF. Source: RFC 9112, 6.3 and 11.1.
 */
export function createResponseParser({
  isHead,
  headLimit,
  onHead,
  onBody,
}: ResponseParserOptions): ResponseParser {
  let state: State = 'head'
  /** The beginning of a head, of a chunk's size or of the trailers. */
  let held: Buffer = NOTHING
  let headBytes = 0
  let missing = 0
  let keepAlive = 0

  /** Returns the end of the head in `chunk`; null when more must come. */
  function readHead(chunk: Buffer, from: number): number | null {
    const before = held.length
    const buffer = before === 0 ? chunk.subarray(from) : Buffer.concat([held, chunk.subarray(from)])
    // Enough to refuse a server of another protocol, which may be waiting for us.
    if (!START.startsWith(buffer.toString('latin1', 0, START.length)))
      throw new MalformedResponse('the response does not begin with HTTP/1.')
    const end = buffer.indexOf(HEAD_END, Math.max(0, before - 3))
    if (headBytes + (end === -1 ? buffer.length : end + 4) > headLimit)
      throw new ResponseHeadTooLarge(`the head of the response is larger than ${headLimit} bytes`)
    if (end === -1) {
      held = buffer
      return null
    }
    held = NOTHING
    headBytes += end + 4
    const head = parseHead(buffer.toString('latin1', 0, end))
    if (head.status < 100 || head.status > 199) begin(head)
    else if (head.status === 101)
      throw new MalformedResponse('the server switched protocols without being asked')
    return from + end + 4 - before
  }

  function begin(head: ParsedHead): void {
    const { status, length, isChunked } = head
    // Some servers send a body here all the same (gunicorn to HEAD), which would be read as the next response.
    const isBodiless = isHead || status === 204 || status === 304
    const hasEnd = !isBodiless && (isChunked || length !== null)
    keepAlive = hasEnd ? head.keepAlive : 0
    if (isBodiless || (length === 0 && !isChunked)) state = 'complete'
    else if (isChunked) state = 'size'
    else if (length === null) state = 'rest'
    else {
      state = 'length'
      missing = length
    }
    onHead(head)
    if (state === 'complete') onBody(NOTHING, true)
  }

  /** Returns the position after the next CRLF with its line; null when more must come. */
  function readLine(chunk: Buffer, from: number): { line: string; next: number } | null {
    const before = held.length
    const buffer = before === 0 ? chunk.subarray(from) : Buffer.concat([held, chunk.subarray(from)])
    const end = buffer.indexOf('\r\n', Math.max(0, before - 1))
    if ((end === -1 ? buffer.length : end) > LINE_LIMIT)
      throw new MalformedResponse('the line before or after a chunk is too long')
    held = end === -1 ? buffer : NOTHING
    return end === -1 ? null : { line: buffer.toString('latin1', 0, end), next: from + end + 2 - before }
  }

  /** Returns the position up to which `chunk` was read; null when all of it was, and more must come. */
  function step(chunk: Buffer, at: number): number | null {
    switch (state) {
      case 'head':
        return readHead(chunk, at)
      case 'length':
      case 'data': {
        const end = Math.min(chunk.length, at + missing)
        missing -= end - at
        const isLast = state === 'length' && missing === 0
        if (isLast) state = 'complete'
        else if (missing === 0) state = 'gap'
        onBody(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end), isLast)
        return end
      }
      case 'rest':
        onBody(at === 0 ? chunk : chunk.subarray(at), false)
        return null
      case 'size': {
        const read = readLine(chunk, at)
        if (read === null) return null
        const [, size] = CHUNK_SIZE.exec(read.line) ?? []
        if (size === undefined) throw new MalformedResponse('the size of a chunk is not a hexadecimal number')
        missing = Number.parseInt(size, 16)
        state = missing === 0 ? 'trailer' : 'data'
        return read.next
      }
      case 'gap': {
        const read = readLine(chunk, at)
        if (read === null) return null
        if (read.line !== '') throw new MalformedResponse('a chunk is longer than its size')
        state = 'size'
        return read.next
      }
      case 'trailer': {
        const read = readLine(chunk, at)
        if (read === null) return null
        headBytes += read.line.length + 2
        if (headBytes > headLimit)
          throw new ResponseHeadTooLarge('the trailers of the response are too large')
        if (read.line === '') {
          state = 'complete'
          onBody(NOTHING, true)
        }
        return read.next
      }
      case 'complete':
        keepAlive = 0 // What follows a response belongs to nobody.
        return null
    }
  }

  return {
    read(chunk) {
      let at: number | null = 0
      while (at !== null && at < chunk.length) at = step(chunk, at)
    },
    end() {
      if (state === 'rest') {
        state = 'complete'
        onBody(NOTHING, true)
      }
      return state === 'complete'
    },
    keepAlive: () => (state === 'complete' ? keepAlive : 0),
  }
}

const NOTHING = Buffer.alloc(0)
const START = 'HTTP/1.'
const HEAD_END = Buffer.from('\r\n\r\n')
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const CHUNK_SIZE = /^([0-9a-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i

interface ParsedHead extends ResponseHead {
  /** Content-Length; null without one. */
  readonly length: number | null
  readonly isChunked: boolean
  /** See ResponseParser. */
  readonly keepAlive: number
}

function parseHead(text: string): ParsedHead {
  const [first = '', ...lines] = text.split('\r\n')
  const [, minor, status, reason = ''] = STATUS_LINE.exec(first) ?? []
  if (status === undefined) throw new MalformedResponse('the first line of the response is not a status line')
  const raw: string[] = []
  let length: number | null = null
  let isChunked = false
  let connection = ''
  let keepAlive = Number.POSITIVE_INFINITY
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon)
    const value = withoutBlanks(line, colon + 1)
    if (colon === -1 || !NAME.test(name) || INVALID_VALUE.test(line))
      throw new MalformedResponse('a line of the head is not a header')
    raw.push(name, value)
    switch (name.toLowerCase()) {
      case 'content-length':
        if (length !== null || !/^\d{1,15}$/.test(value))
          throw new MalformedResponse('the response has two lengths, or one that is not a number')
        length = Number(value)
        break
      case 'transfer-encoding':
        if (isChunked || value.toLowerCase() !== 'chunked')
          throw new MalformedResponse('the response has a transfer coding other than chunked')
        isChunked = true
        break
      case 'connection':
        connection += `,${value}`
        break
      case 'keep-alive': {
        const [, seconds] = /(?:^|[\s,;])timeout=(\d{1,9})/i.exec(value) ?? []
        if (seconds !== undefined) keepAlive = Number(seconds)
        break
      }
    }
  }
  if (isChunked && length !== null)
    throw new MalformedResponse('the response has a length and a transfer coding')
  const closes = minor === '0' || /(?:^|[,\s])close(?:$|[,\s])/i.test(connection)
  return {
    status: Number(status),
    reason,
    headers: endToEndHeaders(raw, connection),
    length,
    isChunked,
    keepAlive: closes ? 0 : keepAlive,
  }
}

/** The rest of a line without the blanks and tabs around it; `trim` would remove other characters, too. */
function withoutBlanks(line: string, from: number): string {
  let [start, end] = [from, line.length]
  while (start < end && isBlank(line.charCodeAt(start))) start += 1
  while (start < end && isBlank(line.charCodeAt(end - 1))) end -= 1
  return line.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
