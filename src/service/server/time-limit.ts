import type { IncomingMessage, RequestListener } from 'node:http'
import type { Context, Middleware } from 'koa'
import { hasBody } from './request-body.ts'

/** The page took longer than a visitor is to wait. Whether what it did was saved is not known. */
export class RequestTimeout extends Error {
  override name = 'RequestTimeout'
  readonly code: string = 'ERR_REQUEST_TIMEOUT'
}

/**
 * Answers within `timeout` milliseconds, whatever becomes of the rest: each wait for the database has an end of its
 * own, but one request waits several times, and behind others in a queue.
 */
export function limitTime(
  middleware: Middleware,
  { timeout }: { timeout: number | ((ctx: Context) => number) },
): Middleware {
  return function timeLimit(ctx, next) {
    const milliseconds = typeof timeout === 'number' ? timeout : timeout(ctx)
    return within(
      milliseconds,
      Promise.resolve(middleware(ctx, next)),
      () => new RequestTimeout(`the page was not made within ${milliseconds} ms`),
    )
  }
}

/** The promise's result, or what `onLate` gives, thrown, where that takes too long. */
export async function within<R>(milliseconds: number, promise: Promise<R>, onLate: () => Error): Promise<R> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(onLate()), milliseconds)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const bodyTimers = new WeakMap<IncomingMessage, NodeJS.Timeout>()

/**
 * Answers 408 where a request's body takes longer than `milliseconds`, unless `liftBodyTime` is called: as an HTTP
 * server's `requestTimeout`, which knows no exception. A body that is still coming after its answer ends the connection.
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

/** For a request whose body has a time limit of another kind. */
export function liftBodyTime(request: IncomingMessage): void {
  clearTimeout(bodyTimers.get(request))
}
