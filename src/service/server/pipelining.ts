import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Requests of one connection that run at once; a client may send the next without waiting (RFC 9112, 9.3.2). */
const IN_FLIGHT = 10

/**
 * The maximum number of waiting requests of all connections. Node parses a whole read of 64 KiB, at most some 2,400
 * requests, before reading can pause. A connection that would exceed this limit is closed.
 */
const WAITING = 10_000

interface Connection {
  inFlight: number
  readonly waiting: [IncomingMessage, ServerResponse][]
}

/** A request listener that runs only a few requests of each connection at once. */
export interface PipelinedListener {
  readonly listener: RequestListener
  /** Whether a request of this connection is still running. */
  isBusy(socket: Socket): boolean
}

/** Lets further requests of a connection wait, and pauses reading meanwhile. */
export function limitPipelining(
  listener: RequestListener,
  { inFlight = IN_FLIGHT, waiting: mostWaiting = WAITING }: { inFlight?: number; waiting?: number } = {},
): PipelinedListener {
  const connections = new WeakMap<Socket, Connection>()
  let allWaiting = 0

  function open(socket: Socket): Connection {
    const connection: Connection = { inFlight: 0, waiting: [] }
    connections.set(socket, connection)
    // Node resumes the connection whenever a request's body is read.
    socket.on('resume', () => {
      if (connection.waiting.length > 0) socket.pause()
    })
    socket.once('close', () => {
      allWaiting -= connection.waiting.length
      connection.waiting.length = 0
    })
    return connection
  }

  function begin(connection: Connection, request: IncomingMessage, response: ServerResponse): void {
    connection.inFlight += 1
    response.once('close', () => {
      connection.inFlight -= 1
      const next = request.socket.destroyed ? undefined : connection.waiting.shift()
      if (next === undefined) return
      allWaiting -= 1
      begin(connection, ...next)
      if (connection.waiting.length === 0) request.socket.resume()
    })
    listener(request, response)
  }

  return {
    listener(request, response) {
      const { socket } = request
      const connection = connections.get(socket) ?? open(socket)
      if (connection.inFlight < inFlight) {
        begin(connection, request, response)
      } else if (allWaiting < mostWaiting) {
        allWaiting += 1
        connection.waiting.push([request, response])
        socket.pause()
      } else {
        socket.destroy()
      }
    },
    isBusy: (socket) => (connections.get(socket)?.inFlight ?? 0) > 0,
  }
}
