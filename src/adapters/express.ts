import '../checks/check-node.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkSite } from '../checks/check-values.ts'
import { holdResponse } from '../http/deferred-response.ts'
import type { DjangoSite } from '../site/django-site.ts'
import type { DjangoExchange } from '../site/site-request.ts'
import { NodeSiteRequest } from './node-request.ts'

declare global {
  namespace Express {
    interface Request {
      /** The visitor's Django session, and who the visitor is: `const user = await request.django.user()`. */
      readonly django: DjangoExchange
    }
  }
}

/** Express middleware; it works with Connect and `node:http`, too. */
export type ExpressMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

/**
 * Express middleware that sets `request.django` to the visitor's Django session and user, CSRF token and messages. The
 * session is saved before the response is sent; if that fails, Express' error handlers answer.
 */
export function djangoExpress(site: Pick<DjangoSite, 'openRequest'>): ExpressMiddleware {
  checkSite('djangoExpress', site)
  return function djangoMiddleware(request, response, next) {
    const open = async () => {
      const { django, respond } = await site.openRequest(new NodeSiteRequest(request))
      Object.assign(request, { django })
      holdResponse(response, respond, next)
    }
    open().then(() => next(), next)
  }
}

/**
 * Express middleware that refuses a request which may change something and has no valid CSRF token, with 403; a body that
 * is a form is read for it, unless a body parser has. It belongs after `djangoExpress`, before the routes that it protects.
 */
export const protect: ExpressMiddleware = function protect(request, _response, next) {
  const { django } = request as { django?: DjangoExchange }
  const missing = 'protect needs request.django; put app.use(djangoExpress(site)) before it'
  if (django === undefined) next(new TypeError(missing))
  else django.csrf.check().then(() => next(), next)
}
