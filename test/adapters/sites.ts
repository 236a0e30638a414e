import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa, { type Context } from 'koa'
import { djangoExpress } from '../../src/adapters/express.ts'
import { djangoFastify } from '../../src/adapters/fastify.ts'
import { type FetchSite, type FetchSiteOptions, openDjangoSite } from '../../src/adapters/fetch.ts'
import { createAuthMiddleware } from '../../src/adapters/koa/auth.ts'
import { createCsrfMiddleware } from '../../src/adapters/koa/csrf.ts'
import { readForm } from '../../src/adapters/koa/form.ts'
import { createMessagesMiddleware } from '../../src/adapters/koa/messages.ts'
import { createSessionMiddleware } from '../../src/adapters/koa/session-middleware.ts'
import type { DjangoSiteOptions } from '../../src/site/django-site.ts'
import type { DjangoExchange } from '../../src/site/site-request.ts'
import { type DbUnderTest, secretKey } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import type { Serve } from './koa/measured-requests.ts'
import type { Answer } from './koa/session-site.ts'

/** What the tests' handlers ask of a request, whatever framework it came through. */
export interface Exchange {
  readonly django: DjangoExchange
  /** The method and the path: `GET /visit`. */
  readonly page: string
  setStatus(status: number): void
  setHeader(name: string, value: string): void
}

export type ExchangeHandler = (exchange: Exchange) => unknown

/** A redirect that a handler returns. Each framework answers it by its own function for redirects. */
export class Redirect {
  readonly status: 303 | 307
  readonly location: string

  constructor(status: 303 | 307, location: string) {
    this.status = status
    this.location = location
  }
}

/**
 * Serves one handler for all methods. What it returns is the body, as JSON, unless it is a `Redirect` or a
 * `ReadableStream`. Returns the URL.
 */
export type ServeExchange = (t: Scope, site: FetchSite, handler: ExchangeHandler) => Promise<string>

export const adapters: Readonly<
  Record<'koa' | 'express' | 'fastify' | 'hono' | 'node:http with fetch', ServeExchange>
> = {
  async koa(t, { requests, auth, profile }, handler) {
    const app = new Koa({ env: 'test' }) // nothing on the console
    app.silent = true
    const sessionCookie = { domain: null, secure: false, httpOnly: true, sameSite: 'Lax' } as const
    app.use(createSessionMiddleware({ requests }))
    app.use(createCsrfMiddleware({ profile }))
    app.use(createAuthMiddleware({ auth }))
    app.use(createMessagesMiddleware({ secretKeys: [secretKey], profile, sessionCookie }))
    app.use(async (ctx) => {
      const { session, csrf, messages, login, logout } = ctx
      const { authenticate } = auth
      const django: DjangoExchange = {
        ...{ session, csrf, messages, login, logout, authenticate },
        user: () => ctx.user(),
        form: (limits) => readForm(ctx, limits),
      }
      ctx.status = 200
      const result = await handler({
        django,
        page: `${ctx.method} ${ctx.path}`,
        setStatus: (status) => {
          ctx.status = status
        },
        setHeader: (name, value) => ctx.set(name, value),
      })
      if (result instanceof Redirect) {
        ctx.status = result.status
        return ctx.redirect(result.location)
      }
      ctx.body = result instanceof ReadableStream ? result : JSON.stringify(result ?? null)
    })
    return listen(t, app.callback())
  },

  async express(t, site, handler) {
    const app = express().disable('x-powered-by')
    app.use(djangoExpress(site))
    app.all('/{*path}', async (request, response) => {
      const exchange = {
        django: request.django,
        page: `${request.method} ${request.path}`,
        setStatus: (status: number) => void response.status(status),
        setHeader: (name: string, value: string) => void response.set(name, value),
      }
      const result = await handler(exchange)
      if (result instanceof Redirect) response.redirect(result.status, result.location)
      else if (result instanceof ReadableStream) await send(result, response)
      else response.json(result ?? null)
    })
    // As an application's own, with nothing on the console.
    app.use((error: unknown, _request: IncomingMessage, response: express.Response, _next: unknown) => {
      response.status(statusOf(error)).json('failed')
    })
    return listen(t, app as (request: IncomingMessage, response: ServerResponse) => void)
  },

  async fastify(t, site, handler) {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(djangoFastify, { site, forms: true })
    app.all('/*', async (request, reply) => {
      const exchange = {
        django: request.django,
        page: `${request.method} ${request.url}`,
        setStatus: (status: number) => void reply.code(status),
        setHeader: (name: string, value: string) => void reply.header(name, value),
      }
      const result = await handler(exchange)
      if (result instanceof Redirect) return reply.redirect(result.location, result.status)
      if (result instanceof ReadableStream) return reply.send(result)
      return reply.type('application/json').send(JSON.stringify(result ?? null))
    })
    return app.listen({ host: '127.0.0.1', port: 0 })
  },

  async hono(t, site, handler) {
    const app = new Hono()
    app.all('*', ({ req: { raw } }) => site.handle(raw, respondBy(raw, handler)))
    const answer = getRequestListener(app.fetch)
    return listen(t, (request, response) => void answer(request, response))
  },

  'node:http with fetch': (t, site, handler) =>
    listen(t, async (request, response) => {
      const webRequest = requestOf(request)
      const answer = await site.handle(webRequest, respondBy(webRequest, handler))
      response.writeHead(answer.status, [...answer.headers].flat())
      if (answer.body === null) response.end()
      else await send(answer.body, response)
    }),
}

/** Sends a stream. A client that leaves cancels it, which is no error of the server. */
async function send(body: ReadableStream, response: ServerResponse): Promise<void> {
  await pipeline(Readable.fromWeb(body as NodeReadableStream), response).catch((error) => {
    if (!response.destroyed) throw error
  })
}

/** Node's request as a `Request` of the Web. */
function requestOf(request: IncomingMessage): Request {
  const { method = 'GET', headers, url = '/' } = request
  const hasBody = method !== 'GET' && method !== 'HEAD'
  return new Request(`http://${headers.host}${url}`, {
    method,
    headers: Object.entries(headers).map(([name, value]) => [name, String(value)] as [string, string]),
    ...(hasBody && { body: Readable.toWeb(request) as ReadableStream, duplex: 'half' }),
  })
}

/** A handler of `site.handle`. What it throws with a status is the framework's own to answer. */
function respondBy(
  { method, url }: Request,
  handler: ExchangeHandler,
): (django: DjangoExchange) => Promise<Response> {
  return async (django) => {
    let status = 200
    const headers = new Headers({ 'Content-Type': 'application/json' })
    const result = await handler({
      django,
      page: `${method} ${new URL(url).pathname}`,
      setStatus: (wanted) => {
        status = wanted
      },
      setHeader: (name, value) => headers.set(name, value),
    })
    if (result instanceof Redirect) return Response.redirect(new URL(result.location, url), result.status)
    if (result instanceof ReadableStream) return new Response(result, { status })
    return new Response(JSON.stringify(result ?? null), { status, headers })
  }
}

function statusOf(error: unknown): number {
  return error instanceof Error && 'status' in error ? Number(error.status) : 500
}

/** The error page of the sites on `site.handle`. */
export function errorPage(error: unknown): Response {
  return Response.json('failed', { status: statusOf(error) })
}

/** A Django site on a database of the tests. */
export function siteOf(db: DbUnderTest, options: Partial<FetchSiteOptions> = {}): FetchSite {
  return openDjangoSite({
    db: db.db,
    secretKeys: [secretKey],
    djangoVersion: db.djangoVersion,
    useTz: db.useTz,
    timeZone: db.timeZone,
    now: () => db.clock.now,
    onError: errorPage,
    ...options,
  })
}

/** Koa's handlers of the measured requests, behind another framework. */
export function serveBy(adapter: ServeExchange): Serve {
  return async (t, db, handler, { settings } = {}) => {
    const url = await adapter(t, siteOf(db, settings as Partial<DjangoSiteOptions>), (exchange) =>
      handler(contextOf(exchange)),
    )
    return (cookie) => ask(url, cookie)
  }
}

export async function ask(url: string, cookie?: string): Promise<Answer> {
  const response = await fetch(url, { headers: cookie === undefined ? {} : { Cookie: cookie } })
  return {
    status: response.status,
    setCookie: response.headers.getSetCookie(),
    vary: response.headers.get('Vary'),
    body: await response.text(),
  }
}

/** As much of a Koa context as the measured requests' handlers use. */
function contextOf({ django, setStatus, setHeader }: Exchange): Context {
  const context = {
    session: django.session,
    set: setHeader,
    throw(status: number) {
      throw Object.assign(new Error('thrown by the handler'), { status, statusCode: status })
    },
    set status(status: number) {
      setStatus(status)
    },
  }
  return context as unknown as Context
}
