import '../checks/check-node.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkSite } from '../checks/check-values.ts'
import { clientOf } from '../http/client-info.ts'
import { holdResponse } from '../http/deferred-response.ts'
import type { DjangoRequest, DjangoSite } from '../site/django-site.ts'

declare global {
  namespace Express {
    interface Request {
      /** The visitor's Django session, and who the visitor is: `const user = await request.django.user()`. */
      readonly django: DjangoRequest
    }
  }
}

/**
 * Express middleware that sets `request.django` to the visitor's Django session and user. The session is saved before
 * the response is sent; if that fails, Express' error handlers answer.
 * It works with Connect and `node:http`, too.
 */
export function djangoExpress(
  site: Pick<DjangoSite, 'open'>,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  checkSite('djangoExpress', site)
  return function djangoMiddleware(request, response, next) {
    const { respond, ...django } = site.open(
      request.headers.cookie,
      clientOf(request, () => addressOf(request)),
    )
    Object.assign(request, { django })

    async function setHeaders(status: number): Promise<void> {
      const { setCookie, vary } = await respond(status)
      if (setCookie !== null) response.appendHeader('Set-Cookie', setCookie)
      if (vary !== null) response.setHeader('Vary', vary(String(response.getHeader('Vary') ?? '')))
    }

    holdResponse(response, setHeaders, next)
    next()
  }
}

/** Express' `request.ip`, which considers proxies; without Express, the address of the socket. */
function addressOf(request: IncomingMessage): string | undefined {
  return 'ip' in request && typeof request.ip === 'string' ? request.ip : request.socket.remoteAddress
}
