import knex from 'knex'
import { type DjangoExchange, openDjangoSite } from 'koa-django-sessions/fetch'
import { createContext, type MiddlewareFunction } from 'react-router'

const { DATABASE_URL = '', DJANGO_SECRET_KEY = '', DJANGO_VERSION = '5.2' } = process.env
const site = openDjangoSite({
  db: knex({ client: 'pg', connection: DATABASE_URL, compileSqlOnError: false }),
  secretKeys: [DJANGO_SECRET_KEY],
  djangoVersion: DJANGO_VERSION,
  saveEveryRequest: true, // as SESSION_SAVE_EVERY_REQUEST of this Django says; its default is false
})

/** `context.get(django)` in loaders and actions. */
export const django = createContext<DjangoExchange>()

/**
 * One exchange for all loaders of a page. Responses and errors that they throw are responses when `next` returns. CSRF is
 * checked here, as Django's middleware does: what an action throws is a 500 of React Router, not a 403.
 */
export const djangoMiddleware: MiddlewareFunction<Response> = ({ request, context }, next) =>
  site.handle(request, async (exchange) => {
    await exchange.csrf.check()
    context.set(django, exchange)
    return next()
  })

/** Counts this visit, as LocalLibrary's home page does. */
export async function visit({ session }: DjangoExchange): Promise<number> {
  const loaded = await session.load<{ num_visits: number }>()
  return loaded.compute('num_visits', (visits) => Number(visits ?? 0) + 1)
}
