import type { Socket } from 'node:net'
import { startTimer } from '../../concurrency/deadline.ts'

/** The reply to one command: a line, and the value that follows some lines. */
export interface MemcachedReply {
  readonly line: string
  readonly data: Buffer | null
}

/** One connection to a memcached server. */
export interface MemcachedConnection {
  /** Whether the server supports the meta protocol (1.6.9 or newer); rejects if it cannot be reached. */
  readonly ready: Promise<boolean>
  send(command: string | readonly [string, Buffer]): Promise<MemcachedReply>
  end(reason: string, options: { isFailure: boolean }): void
}

interface PendingCommand {
  resolve(reply: MemcachedReply): void
  reject(error: Error): void
  readonly stopTimer: () => void
}

/** Socket, limits and callbacks of one connection. */
export interface MemcachedConnectionOptions {
  readonly socket: Socket
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
  /** Larger values are received but not kept in memory. */
  readonly maxBytes: number
  unavailable(reason: string): Error
  onEnd(isFailure: boolean): void
}

/** The first version whose meta protocol is known to have the commands and flags used here. */
const META_SINCE = [1, 6, 9] as const
const MAX_LINE = 2048

/** Pipelines commands: sends each at once, and matches the replies to the commands in order. */
export function createMemcachedConnection({
  socket,
  connectTimeout,
  commandTimeout,
  maxBytes,
  unavailable,
  onEnd,
}: MemcachedConnectionOptions): MemcachedConnection {
  const pending: PendingCommand[] = []
  let hasEnded = false

  // One failure ends the connection: after a timeout, the late reply would be matched to the next command.
  function end(reason: string, { isFailure }: { isFailure: boolean }): void {
    if (hasEnded) return
    hasEnded = true
    stopConnecting()
    socket.destroy()
    onEnd(isFailure)
    for (const { reject, stopTimer } of pending.splice(0)) {
      stopTimer()
      reject(unavailable(reason))
    }
  }
  const fail = (reason: string) => end(reason, { isFailure: true })

  function send(command: string | readonly [string, Buffer]): Promise<MemcachedReply> {
    if (hasEnded) return Promise.reject(unavailable('the connection was lost'))
    return new Promise((resolve, reject) => {
      const stopTimer = startTimer(() => fail(`no reply within ${commandTimeout} ms`), commandTimeout)
      pending.push({ resolve, reject, stopTimer })
      const [line, data] = typeof command === 'string' ? [command, null] : command
      socket.cork()
      socket.write(`${line}\r\n`)
      if (data !== null) socket.write(data)
      if (data !== null) socket.write('\r\n')
      socket.uncork()
    })
  }

  const stopConnecting = startTimer(() => fail(`no connection within ${connectTimeout} ms`), connectTimeout)
  const read = createReplyReader({
    maxBytes,
    onReply(reply) {
      const first = pending.shift()
      if (first === undefined) return fail('it sent a reply without a command')
      first.stopTimer()
      first.resolve(reply)
      // The server could not parse the line, so it may read the value as commands.
      if (/^(?:CLIENT_)?ERROR/.test(reply.line)) fail(unexpectedReply(reply.line))
    },
    onProtocolError: () => fail('it uses another protocol'),
  })
  socket.setNoDelay(true).setKeepAlive(true)
  socket.on('connect', stopConnecting)
  socket.on('data', read)
  socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'the connection was lost'))
  socket.on('close', () => end('the connection was lost', { isFailure: pending.length > 0 }))

  const ready = send('version').then(({ line }) => {
    const version = /^VERSION (\d+)\.(\d+)\.(\d+)/.exec(line)?.slice(1).map(Number)
    if (version === undefined) throw unavailable(unexpectedReply(line))
    const differing = META_SINCE.findIndex((number, index) => number !== version[index])
    return differing === -1 || (version[differing] ?? 0) > (META_SINCE[differing] ?? 0)
  })
  return { ready, send, end }
}

const META_END = '\r\n'.length
const CLASSIC_END = '\r\nEND\r\n'.length

/** Splits the received bytes into replies. A value larger than the limit is dropped; its reply is not. */
function createReplyReader({
  maxBytes,
  onReply,
  onProtocolError,
}: {
  maxBytes: number
  onReply(reply: MemcachedReply): void
  onProtocolError(): void
}): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  let value: { line: string; size: number; left: number; chunks: Buffer[] | null } | null = null

  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      if (value !== null) {
        const part = rest.subarray(0, value.left)
        value.chunks?.push(part)
        value.left -= part.length
        rest = rest.subarray(part.length)
        if (value.left > 0) return
        const { line, size, chunks } = value
        value = null
        onReply({ line, data: chunks === null ? null : Buffer.concat(chunks).subarray(0, size) })
        continue
      }
      const lineEnd = rest.indexOf('\r\n')
      if (lineEnd > MAX_LINE || (lineEnd === -1 && rest.length > MAX_LINE)) return onProtocolError()
      if (lineEnd === -1) return
      const line = rest.toString('latin1', 0, lineEnd)
      rest = rest.subarray(lineEnd + 2)
      const [, meta, classic] = /^VA (\d+)|^VALUE \S+ \d+ (\d+)/.exec(line) ?? []
      const size = Number(meta ?? classic)
      if (Number.isNaN(size)) onReply({ line, data: null })
      else
        value = {
          line,
          size,
          left: size + (meta === undefined ? CLASSIC_END : META_END),
          chunks: size > maxBytes ? null : [],
        }
    }
  }
}

/** Describes a reply, for an error message. Error lines of memcached contain no key and no data. */
export function unexpectedReply(line: string): string {
  return `it replied ${JSON.stringify(line.slice(0, 80))}`
}
