import test from 'ava'
import { createResponseParser } from '../../../src/service/proxy/response-parser.ts'

interface Read {
  readonly status: number
  readonly reason: string
  readonly headers: readonly string[]
  readonly body: string
  readonly isComplete: boolean
  readonly keepAlive: number
}

/** Reads a response in parts, and to its end if the upstream `ends` the connection. */
function read(parts: readonly string[], { isHead = false, ends = false, headLimit = 1000 } = {}): Read {
  let head = { status: 0, reason: '', headers: [] as readonly string[] }
  let body = ''
  let ended = 0
  const parser = createResponseParser({
    isHead,
    headLimit,
    onHead(found) {
      head = { status: found.status, reason: found.reason, headers: found.headers }
    },
    onBody(part, isLast) {
      if (ended > 0) throw new Error('a part after the last one')
      body += part.toString('latin1')
      if (isLast) ended += 1
    },
  })
  for (const part of parts) parser.read(Buffer.from(part, 'latin1'))
  const isComplete = ends ? parser.end() : ended === 1
  return { ...head, body, isComplete, keepAlive: parser.keepAlive() }
}

/** The text whole, split at every place, and byte by byte. */
function* splits(text: string): Generator<string[]> {
  yield [text]
  for (let at = 1; at < text.length; at += 1) yield [text.slice(0, at), text.slice(at)]
  yield [...text]
}

const FOREVER = Number.POSITIVE_INFINITY

const complete: readonly [
  what: string,
  text: string,
  expected: Partial<Read>,
  options?: { isHead?: boolean; ends?: boolean },
][] = [
  [
    'a length',
    'HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:\t2 \r\nContent-Length: 3\r\n\r\nabc',
    {
      status: 200,
      reason: 'OK',
      headers: ['X-A', '1', 'x-a', '2', 'Content-Length', '3'],
      body: 'abc',
      keepAlive: FOREVER,
    },
  ],
  ['no reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { reason: '', body: '', keepAlive: FOREVER }],
  [
    'an empty reason',
    'HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na',
    { reason: '', body: 'a', keepAlive: FOREVER },
  ],
  [
    'chunks, extensions and trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123\r\n6789\r\n0\r\nX-T: 1\r\n\r\n',
    { headers: [], body: 'abc0123\r\n6789', keepAlive: FOREVER },
  ],
  [
    'informational responses before',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    { status: 200, headers: ['Content-Length', '2'], body: 'ok', keepAlive: FOREVER },
  ],
  [
    'Connection: close',
    'HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na',
    { body: 'a', keepAlive: 0 },
  ],
  [
    'headers that Connection names',
    'HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: x-hop,close\r\nContent-Length: 1\r\n\r\na',
    { headers: ['Content-Length', '1'], keepAlive: 0 },
  ],
  [
    'HTTP/1.0',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na',
    { body: 'a', keepAlive: 0 },
  ],
  [
    'a time of the server',
    'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 1\r\n\r\na',
    { body: 'a', keepAlive: 5 },
  ],
  ['no length, to the end', 'HTTP/1.1 200 OK\r\n\r\nabc', { body: 'abc', keepAlive: 0 }, { ends: true }],
  // The server may send a body all the same.
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', { body: '', keepAlive: 0 }, { isHead: true }],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '', keepAlive: 0 }],
  ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n', { status: 304, body: '', keepAlive: 0 }],
  ['more than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc', { body: 'a', keepAlive: 0 }],
  [
    'another response after it',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    { body: 'a', keepAlive: 0 },
  ],
]

for (const [what, text, expected, options] of complete) {
  test(`a response is read alike however it arrives: ${what}`, (t) => {
    for (const parts of splits(text)) t.like(read(parts, options), { ...expected, isComplete: true })
  })
}

const LENGTH = 'Content-Length: 3\r\n'

for (const [what, text] of [
  ['another protocol', 'SSH-2.0-OpenSSH\r\n'],
  ['HTTP/2', 'HTTP/2 200\r\n\r\n'],
  ['an empty line first', `\r\nHTTP/1.1 200 OK\r\n${LENGTH}\r\nabc`],
  ['a status of two digits', `HTTP/1.1 20 OK\r\n${LENGTH}\r\nabc`],
  ['a status with a sign', `HTTP/1.1 +20 OK\r\n${LENGTH}\r\nabc`],
  ['101 without being asked', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['two lengths', `HTTP/1.1 200 OK\r\n${LENGTH}Content-Length: 4\r\n\r\nabcd`],
  ['the same length twice', `HTTP/1.1 200 OK\r\n${LENGTH}${LENGTH}\r\nabc`],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc'],
  ['a length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc'],
  ['a hexadecimal length', 'HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc'],
  ['a length with a vertical tab', 'HTTP/1.1 200 OK\r\nContent-Length: 3\v\r\n\r\nabc'],
  ['a length with a no-break space', 'HTTP/1.1 200 OK\r\nContent-Length: 3\xa0\r\n\r\nabc'],
  ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc'],
  ['a length beyond all numbers', `HTTP/1.1 200 OK\r\nContent-Length: ${'9'.repeat(17)}\r\n\r\nabc`],
  ['a length and chunks', `HTTP/1.1 200 OK\r\n${LENGTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another transfer coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  [
    'chunked twice',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['a folded header', `HTTP/1.1 200 OK\r\nX: a\r\n ${LENGTH}\r\nabc`],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc'],
  ['a header without a name', `HTTP/1.1 200 OK\r\n: a\r\n${LENGTH}\r\nabc`],
  ['a header without a colon', `HTTP/1.1 200 OK\r\na\r\n${LENGTH}\r\nabc`],
  ['a bare LF', `HTTP/1.1 200 OK\r\nX: a\n${LENGTH}\r\nabc`],
  ['a bare CR', `HTTP/1.1 200 OK\r\nX: a\r${LENGTH}\r\nabc`],
  ['a NUL', `HTTP/1.1 200 OK\r\nX: a\0b\r\n${LENGTH}\r\nabc`],
  ['a LF in the reason', `HTTP/1.1 200 O\nK\r\n${LENGTH}\r\nabc`],
  ['a chunk size that is not a number', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  [
    'a chunk size with a prefix',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n',
  ],
  ['a negative chunk size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n'],
  [
    'a chunk size beyond all numbers',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'f'.repeat(14)}\r\nabc`,
  ],
  [
    'a chunk longer than its size',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n',
  ],
  ['chunks with LF only', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n\r\n'],
] as const) {
  test(`a response whose end is uncertain is refused however it arrives: ${what}`, (t) => {
    for (const parts of splits(text)) t.throws(() => read(parts), { code: 'HPE_MALFORMED_RESPONSE' })
  })
}

test('a response that breaks off is not complete', (t) => {
  for (const text of [
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    '',
  ])
    for (const parts of splits(text)) t.like(read(parts, { ends: true }), { isComplete: false, keepAlive: 0 })
})

test('a head, informational heads together, trailers and the line of a chunk are limited', (t) => {
  const long = { code: 'HPE_HEADER_OVERFLOW' }
  t.throws(() => read([`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(1000)}`]), long)
  t.throws(() => read([`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(990)}\r\n\r\n`]), long)
  t.throws(() => read(Array(50).fill('HTTP/1.1 100 Continue\r\n\r\n')), long)
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  t.throws(() => read([chunked, '0\r\n', ...Array(200).fill('X-T: 1\r\n')]), long)
  t.throws(() => read([chunked, `1;${'x'.repeat(5000)}`]), { code: 'HPE_MALFORMED_RESPONSE' })
})
