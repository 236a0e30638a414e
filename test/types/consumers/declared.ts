/** Session keys that are declared once. */
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import {
  createAuthMiddleware,
  type DjangoSite,
  djangoAuth,
  type Session,
  type SessionHandle,
} from 'koa-django-sessions'
import { djangoExpress } from 'koa-django-sessions/express'
import { djangoFastify } from 'koa-django-sessions/fastify'
import type { FetchHandler, FetchSite } from 'koa-django-sessions/fetch'

declare module 'koa-django-sessions' {
  interface SessionTypes {
    num_visits: number
    cart: { book: string; copies: number }[]
    theme: 'dark' | 'light'
  }
}

/** An error unless both types are the same. */
type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

export async function declared(handle: SessionHandle): Promise<void> {
  const session = await handle.load()

  const visits = session.get('num_visits')
  same<typeof visits, number | undefined>(true)
  const or = session.get('num_visits', null)
  same<typeof or, number | null>(true)
  const required = session.require('cart')
  same<typeof required, { book: string; copies: number }[]>(true)
  const popped = session.pop('theme')
  same<typeof popped, 'dark' | 'light'>(true)

  session.set('num_visits', 1)
  session.set('theme', 'dark')
  // @ts-expect-error: a number
  session.set('num_visits', '1')
  // @ts-expect-error: not one of the themes
  session.set('theme', 'green')
  // @ts-expect-error: copies is missing
  session.setDefault('cart', [{ book: 'b' }])
  session.update({ num_visits: 2, other: 'x' })
  // @ts-expect-error: a number
  session.update({ num_visits: '2' })
  session.has('num_visits')
  session.delete('num_visits')

  const computed = session.compute('num_visits', (stored) => {
    same<typeof stored, number | undefined>(true)
    return (stored ?? 0) + 1
  })
  same<typeof computed, number>(true)
  session.compute('cart', (stored = []) => [...stored, { book: 'b', copies: 1 }])
  // @ts-expect-error: a number
  session.compute('num_visits', () => 'one')
}

export async function undeclared(handle: SessionHandle): Promise<void> {
  const session = await handle.load()
  const other = session.get('other')
  same<typeof other, unknown>(true)
  session.set('other', ['anything'])
  session.has('other')
  session.delete('other')
  session.compute('other', (stored) => {
    // Any value of a session, without a type of its own.
    const text: string = typeof stored === 'string' ? stored : ''
    // @ts-expect-error: it may be of any kind
    const number: number = stored
    return [text, number]
  })
  const key: string = 'of any name'
  const dynamic = session.get(key)
  same<typeof dynamic, unknown>(true)
}

export async function withTypeArgument(handle: SessionHandle): Promise<void> {
  const session = await handle.load<{ hits: number }>()
  const hits = session.get('hits')
  same<typeof hits, number | undefined>(true)
  session.compute('hits', (stored = 0) => stored + 1)
  session.compute('hits', (stored) => Number(stored ?? 0) + 1)
  // @ts-expect-error: not a key of the type argument
  session.get('num_visits')
}

const app = new Koa()
app.use(
  createAuthMiddleware({
    auth: djangoAuth({ db: null as never, secretKeys: ['a key'], djangoVersion: '5.2' }),
  }),
)
app.use(async (ctx) => {
  const session = await ctx.session.load()
  const visits = session.get('num_visits', 0)
  same<typeof visits, number>(true)
  await takes(session)
})

export const handler: FetchHandler = async ({ session }) => {
  const loaded = await session.load()
  const visits = loaded.get('num_visits', 0)
  same<typeof visits, number>(true)
  return Response.json(visits)
}

async function takes(session: Session): Promise<void> {
  session.compute('num_visits', (stored = 0) => stored + 1)
}

export async function everywhere(site: DjangoSite): Promise<void> {
  const { session, user } = await site.authenticate(null)
  const visits = session.get('num_visits')
  same<typeof visits, number | undefined>(true)
  if (user.isAuthenticated) await site.auth.login(session, user)
  const typed = await site.open(undefined).session.load<{ hits: number }>()
  if (user.isAuthenticated) await site.auth.login(typed, user)
}

export function underExpress(site: DjangoSite): express.Express {
  const server = express()
  server.use(djangoExpress(site))
  server.get('/', async (request, response) => {
    const session = await request.django.session.load()
    const visits = session.get('num_visits', 0)
    same<typeof visits, number>(true)
    // @ts-expect-error: a number
    session.set('num_visits', '1')
    await takes(session)
    response.json(visits)
  })
  return server
}

export function underFastify(site: DjangoSite): void {
  const server = fastify()
  void server.register(djangoFastify, { site })
  server.get('/', async (request) => {
    const session = await request.django.session.load()
    const visits = session.get('num_visits', 0)
    same<typeof visits, number>(true)
    // @ts-expect-error: a number
    session.set('num_visits', '1')
    await takes(session)
    return visits
  })
}

export async function inServerComponent(site: FetchSite): Promise<number> {
  const { session } = await site.read(new Headers())
  const visits = session.get('num_visits', 0)
  same<typeof visits, number>(true)
  const theme = session.get('theme')
  same<typeof theme, 'dark' | 'light' | undefined>(true)
  return visits
}
