import type { IncomingMessage, RequestListener } from 'node:http'
import type { Context, Middleware } from 'koa'
import { withDeadline } from '../../concurrency/deadline.ts'
import { hasBody } from './request-body.ts'

/** The page took too long. Whether its changes were saved is not known. */
export class RequestTimeout extends Error {
  override name = 'RequestTimeout'
  readonly code: string = 'ERR_REQUEST_TIMEOUT'
}

/**
 * Rejects after `timeout` milliseconds; `middleware` is not stopped. Each statement has its own time limit, but a request
 * may run several statements, and may wait in a queue.
 */
export function limitTime(
  middleware: Middleware,
  { timeout }: { timeout: number | ((ctx: Context) => number) },
): Middleware {
  return function timeLimit(ctx, next) {
    const milliseconds = typeof timeout === 'number' ? timeout : timeout(ctx)
    return withDeadline(Promise.resolve(middleware(ctx, next)), milliseconds, {
      onLate() {
        throw new RequestTimeout(`the page was not ready within ${milliseconds} ms`)
      },
    })
  }
}

const bodyTimers = new WeakMap<IncomingMessage, NodeJS.Timeout>()

/**
 * Answers 408 when a request's body takes longer than `milliseconds`, unless `liftBodyTime` is called. An HTTP server's
 * own `requestTimeout` allows no such exception. If the answer was already sent, the connection is closed.
 */
export function limitBodyTime(listener: RequestListener, milliseconds: number): RequestListener {
  return function bodyTimeLimit(request, response) {
    if (hasBody(request)) {
      const expire = () => {
        if (request.complete) return
        if (response.headersSent || response.socket === null) request.socket.destroy()
        else response.writeHead(408, { Connection: 'close', 'Content-Length': 0 }).end()
      }
      const timer = setTimeout(expire, milliseconds)
      bodyTimers.set(request, timer)
      request.once('close', () => clearTimeout(timer))
    }
    listener(request, response)
  }
}

/** Removes the time limit of a request whose body is limited in another way. */
export function liftBodyTime(request: IncomingMessage): void {
  clearTimeout(bodyTimers.get(request))
}
