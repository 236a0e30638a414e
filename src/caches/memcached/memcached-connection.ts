import type { Socket } from 'node:net'

/** What a server answers to one command: its line, and the value that follows some of them. */
export interface MemcachedReply {
  readonly line: string
  readonly data: Buffer | null
}

export interface MemcachedConnection {
  /** Whether the server speaks the meta protocol as we do; rejects when it cannot be reached. */
  readonly ready: Promise<boolean>
  send(command: string | readonly [string, Buffer]): Promise<MemcachedReply>
  end(reason: string, options: { isFailure: boolean }): void
}

interface Waiting {
  resolve(reply: MemcachedReply): void
  reject(error: Error): void
  readonly timer: NodeJS.Timeout
}

export interface MemcachedConnectionOptions {
  readonly socket: Socket
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
  /** Larger values are not kept in memory. */
  readonly maxBytes: number
  unavailable(reason: string): Error
  onEnd(isFailure: boolean): void
}

/** The first version whose meta protocol is known to be as we speak it. */
const SPEAKS_META = [1, 6, 9] as const
const MAX_LINE = 2048

/** Sends commands one after the other without waiting, and hands each its answer. */
export function createMemcachedConnection({
  socket,
  connectTimeout,
  commandTimeout,
  maxBytes,
  unavailable,
  onEnd,
}: MemcachedConnectionOptions): MemcachedConnection {
  const waiting: Waiting[] = []
  let hasEnded = false

  // After a time-out the next answer would be taken for another command's: one failure ends the connection.
  function end(reason: string, { isFailure }: { isFailure: boolean }): void {
    if (hasEnded) return
    hasEnded = true
    clearTimeout(connecting)
    socket.destroy()
    onEnd(isFailure)
    for (const { reject, timer } of waiting.splice(0)) {
      clearTimeout(timer)
      reject(unavailable(reason))
    }
  }
  const fail = (reason: string) => end(reason, { isFailure: true })

  function send(command: string | readonly [string, Buffer]): Promise<MemcachedReply> {
    if (hasEnded) return Promise.reject(unavailable('the connection was lost'))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(`no answer within ${commandTimeout} ms`), commandTimeout)
      waiting.push({ resolve, reject, timer })
      const [line, data] = typeof command === 'string' ? [command, null] : command
      socket.cork()
      socket.write(`${line}\r\n`)
      if (data !== null) socket.write(data)
      if (data !== null) socket.write('\r\n')
      socket.uncork()
    })
  }

  const connecting = setTimeout(() => fail(`no connection within ${connectTimeout} ms`), connectTimeout)
  const read = createReplyReader({
    maxBytes,
    onReply(reply) {
      const first = waiting.shift()
      if (first === undefined) return fail('it said what nobody had asked')
      clearTimeout(first.timer)
      first.resolve(reply)
      // Having misread the line it may take the value for commands.
      if (/^(?:CLIENT_)?ERROR/.test(reply.line)) fail(said(reply.line))
    },
    onNonsense: () => fail('it speaks another protocol'),
  })
  socket.setNoDelay(true).setKeepAlive(true)
  socket.on('connect', () => clearTimeout(connecting))
  socket.on('data', read)
  socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'the connection was lost'))
  socket.on('close', () => end('the connection was lost', { isFailure: waiting.length > 0 }))

  const ready = send('version').then(({ line }) => {
    const version = /^VERSION (\d+)\.(\d+)\.(\d+)/.exec(line)?.slice(1).map(Number)
    if (version === undefined) throw unavailable(said(line))
    const differing = SPEAKS_META.findIndex((number, index) => number !== version[index])
    return differing === -1 || (version[differing] ?? 0) > (SPEAKS_META[differing] ?? 0)
  })
  return { ready, send, end }
}

const META_END = '\r\n'.length
const CLASSIC_END = '\r\nEND\r\n'.length

/** Cuts what arrives into replies. Only values beyond the limit are dropped, not the replies that hold them. */
function createReplyReader({
  maxBytes,
  onReply,
  onNonsense,
}: {
  maxBytes: number
  onReply(reply: MemcachedReply): void
  onNonsense(): void
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
      if (lineEnd > MAX_LINE || (lineEnd === -1 && rest.length > MAX_LINE)) return onNonsense()
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

/** A server's own words hold no key and no data. */
export function said(line: string): string {
  return `it said ${JSON.stringify(line.slice(0, 80))}`
}
