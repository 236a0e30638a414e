import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify from 'fastify'
import { announce, countAll, createPage, secretKey } from './site.ts'

declare module 'fastify' {
  interface Session {
    num_visits?: number
  }
}

/**
 * Serves the home page by fastify and @fastify/session, with sessions in this store of express-session: the plugin takes
 * those, only the types of the two sessions differ.
 */
export async function serveByFastify(
  store: object,
  count: (statement: string) => Promise<number>,
): Promise<void> {
  const page = createPage()
  const app = fastify()
  app.register(fastifyCookie)
  app.register(fastifySession, {
    secret: secretKey,
    store: store as never,
    saveUninitialized: false,
    cookie: { secure: false, maxAge: 1_209_600_000 },
  })
  app.get('/catalog/', async (request, reply) => {
    const counts = await countAll(count)
    const numVisits = (request.session.num_visits ?? 0) + 1
    request.session.num_visits = numVisits
    return reply.type('text/html; charset=utf-8').send(page(counts, numVisits))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  announce(app.server.address())
}
