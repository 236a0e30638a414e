import type { Socket } from 'node:net'

/** What a connection reports to the exchange that uses it. */
export interface Listener {
  onData(chunk: Buffer): void
  /** The upstream has ended its side; the connection is closed unless the listener closes it first. */
  onEnd(): void
  /** Nothing was sent or received for `timeout` milliseconds. */
  onTimeout(): void
  /** The connection is closed; `error` says why, null for no error. */
  onClose(error: Error | null): void
}

/** A connection that serves one exchange after the other. */
export interface KeptConnection {
  readonly socket: Socket
  /** Whether an earlier exchange has used it. */
  isUsed(): boolean
  /** The receiver of what happens from now on. */
  listen(listener: Listener): void
  /** Ends the exchange, and keeps the connection for at most `seconds`; 0 closes it. */
  release(seconds: number): void
}

export interface KeptConnectionsOptions {
  /** @throws {UpstreamTimeout} {UpstreamUnavailable} */
  readonly connect: () => Promise<Socket>
  /** The maximum milliseconds for which a connection waits for its next request. */
  readonly keepAlive: number
  /** Milliseconds without any data after which a listener is told. */
  readonly timeout: number
  /** How many connections may be kept now. */
  readonly room: () => number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

export interface KeptConnections {
  /** Returns the connection that was kept last; null without one. */
  takeKept(): KeptConnection | null
  /** @throws {UpstreamTimeout} {UpstreamUnavailable} */
  open(): Promise<KeptConnection>
  /** Closes the oldest connections until the rest are not too many. */
  makeRoom(): void
  /** Closes the kept connections, and keeps no further ones. */
  close(): void
}

/** Requests after which a connection is renewed, so that another address of the upstream's name is noticed. */
const USES = 1000

/** Milliseconds by which we close a connection before the idle time that its server announces: the server closes it then. */
const MARGIN = 1000

interface Kept {
  readonly connection: KeptConnection
  readonly until: number
}

/**
 * Keeps connections for the next request. A connection on which anything arrives before that request is closed: it would be
 * read as the answer to another visitor. What a server sends later, HTTP cannot tell from the next answer; so the caller
 * must not keep a connection after an answer to which servers are known to add bytes.
 */
export function createKeptConnections({
  connect,
  keepAlive,
  timeout,
  room,
  monotonic = () => performance.now(),
}: KeptConnectionsOptions): KeptConnections {
  /** In the order of their release. */
  let kept: Kept[] = []
  let sweeper: NodeJS.Timeout | null = null
  let isClosed = false

  function forget(connection: KeptConnection): void {
    kept = kept.filter((one) => one.connection !== connection)
  }

  function keep(connection: KeptConnection, milliseconds: number): void {
    if (isClosed || connection.socket.destroyed) return void connection.socket.destroy()
    kept.push({ connection, until: monotonic() + milliseconds })
    sweeper ??= setTimeout(sweep, keepAlive).unref()
    makeRoom()
  }

  function sweep(): void {
    const now = monotonic()
    for (const { connection, until } of kept) if (until <= now) connection.socket.destroy()
    kept = kept.filter(({ connection }) => !connection.socket.destroyed)
    sweeper = kept.length === 0 ? null : setTimeout(sweep, keepAlive).unref()
  }

  function makeRoom(): void {
    while (kept.length > 0 && room() < kept.length) kept.shift()?.connection.socket.destroy()
  }

  function adopt(socket: Socket): KeptConnection {
    let uses = 0
    let failure: Error | null = null
    /** Null while the connection is kept. */
    let current: Listener | null = null
    const connection: KeptConnection = {
      socket,
      isUsed: () => uses > 1,
      listen(listener) {
        uses += 1
        current = listener
      },
      release(seconds) {
        current = null
        const milliseconds = Math.min(keepAlive, seconds * 1000 - MARGIN)
        if (isClosed || milliseconds <= 0 || uses >= USES) socket.destroy()
        // After one more read: a server may send more than its response has, in a packet of its own.
        else setImmediate(keep, connection, milliseconds)
      },
    }
    socket
      .setTimeout(timeout)
      .on('data', (chunk: Buffer) => (current === null ? socket.destroy() : current.onData(chunk)))
      .on('end', () => (current === null ? socket.destroy() : current.onEnd()))
      .on('timeout', () => current?.onTimeout())
      .on('error', (error) => {
        failure = error
      })
      .on('close', () => {
        if (current === null) forget(connection)
        else current.onClose(failure)
      })
    return connection
  }

  return {
    takeKept() {
      const now = monotonic()
      for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
        const { socket } = last.connection
        if (last.until > now && socket.writable && !socket.readableEnded && socket.readableLength === 0)
          return last.connection
        socket.destroy()
      }
      return null
    },
    open: async () => adopt(await connect()),
    makeRoom,
    close() {
      isClosed = true
      if (sweeper !== null) clearTimeout(sweeper)
      for (const { connection } of kept) connection.socket.destroy()
    },
  }
}
