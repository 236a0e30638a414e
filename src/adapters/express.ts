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
  return async function djangoMiddleware(request, response, next) {
    try {
      const { django, respond } = await site.openRequest(nodeRequestOf(request))
      Object.assign(request, { django })
      const setHeaders = async (status: number): Promise<void> => {
        for (const { setCookie, vary } of await respond(status)) {
          if (setCookie !== null) response.appendHeader('Set-Cookie', setCookie)
          if (vary !== null) response.setHeader('Vary', vary(String(response.getHeader('Vary') ?? '')))
        }
      }
      holdResponse(response, setHeaders, next)
    } catch (error) {
      next(error)
      return
    }
    next()
  }
}

/**
 * Express middleware that refuses a request which may change something and has no valid CSRF token, with 403; a body that
 * is a form is read for it, unless a body parser has. It belongs after `djangoExpress`, before the routes that it protects.
 */
export const protect: ExpressMiddleware = function protect(request, _response, next) {
  const { django } = request as { django?: DjangoExchange }
  if (django === undefined) {
    next(new TypeError('protect needs request.django; put app.use(djangoExpress(site)) before it'))
    return
  }
  django.csrf.check().then(() => next(), next)
}

/** Express' own properties, which consider proxies; without Express, those of the socket. */
function nodeRequestOf(request: IncomingMessage): NodeSiteRequest {
  const express = request as IncomingMessage & Partial<Record<'ip' | 'host' | 'secure' | 'body', unknown>>
  return new NodeSiteRequest(request, {
    ip: () => (typeof express.ip === 'string' ? express.ip : request.socket.remoteAddress),
    isSecure: () => (typeof express.secure === 'boolean' ? express.secure : 'encrypted' in request.socket),
    host: () => (typeof express.host === 'string' ? express.host : (request.headers.host ?? '')),
    body: () => express.body,
  })
}
