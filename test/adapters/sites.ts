import type { IncomingMessage, ServerResponse } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import type { Context } from 'koa'
import { djangoExpress } from '../../src/adapters/express.ts'
import { djangoFastify } from '../../src/adapters/fastify.ts'
import {
  type DjangoRequest,
  type DjangoSite,
  type DjangoSiteOptions,
  openDjangoSite,
} from '../../src/site/django-site.ts'
import { type DbUnderTest, secretKey } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import type { Serve } from './koa/measured-requests.ts'
import type { Answer } from './koa/session-site.ts'

/** What the tests' handlers ask of a request, whatever framework it came through. */
export interface Exchange {
  readonly django: DjangoRequest
  setStatus(status: number): void
  setHeader(name: string, value: string): void
}

export type ExchangeHandler = (exchange: Exchange) => unknown

/** Serves one handler; what it returns is the body, as JSON. Gives the URL. */
export type ServeExchange = (t: Scope, site: DjangoSite, handler: ExchangeHandler) => Promise<string>

export const adapters: Readonly<Record<'express' | 'fastify', ServeExchange>> = {
  async express(t, site, handler) {
    const app = express().disable('x-powered-by')
    app.use(djangoExpress(site))
    app.get('/{*path}', async (request, response) => {
      const exchange = {
        django: request.django,
        setStatus: (status: number) => void response.status(status),
        setHeader: (name: string, value: string) => void response.set(name, value),
      }
      const result = await handler(exchange)
      response.json(result ?? null)
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
    await app.register(djangoFastify, { site })
    app.get('/*', async (request, reply) => {
      const exchange = {
        django: request.django,
        setStatus: (status: number) => void reply.code(status),
        setHeader: (name: string, value: string) => void reply.header(name, value),
      }
      const result = await handler(exchange)
      return reply.type('application/json').send(JSON.stringify(result ?? null))
    })
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
}

function statusOf(error: unknown): number {
  return error instanceof Error && 'status' in error ? Number(error.status) : 500
}

/** A Django site on a database of the tests. */
export function siteOf(db: DbUnderTest, options: Partial<DjangoSiteOptions> = {}): DjangoSite {
  return openDjangoSite({
    db: db.db,
    secretKeys: [secretKey],
    djangoVersion: db.djangoVersion,
    useTz: db.useTz,
    timeZone: db.timeZone,
    now: () => db.clock.now,
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
