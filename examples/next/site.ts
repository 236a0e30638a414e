import knex from 'knex'
import { type DjangoExchange, type FetchSite, openDjangoSite } from 'koa-django-sessions/fetch'

type Handler = (django: DjangoExchange, request: Request) => Response | Promise<Response>

let opened: FetchSite | undefined

/** Opened by the first request: `next build` imports this file too, where no secret has to be known. */
export function site(): FetchSite {
  const { DATABASE_URL = '', DJANGO_SECRET_KEY = '', DJANGO_VERSION = '5.2' } = process.env
  opened ??= openDjangoSite({
    db: knex({ client: 'mysql2', connection: DATABASE_URL, compileSqlOnError: false }),
    secretKeys: [DJANGO_SECRET_KEY],
    djangoVersion: DJANGO_VERSION,
    saveEveryRequest: true, // as SESSION_SAVE_EVERY_REQUEST of this Django says; its default is false
  })
  return opened
}

/** A route handler with a session, a user, CSRF and messages: `export const GET = django(…)`. */
export function django(handler: Handler): (request: Request) => Promise<Response> {
  return (request) => site().handle(request, (exchange) => handler(exchange, request))
}
