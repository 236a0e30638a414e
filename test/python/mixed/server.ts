/**
 * One process of a site whose every page changes the session as hot_site.py does:
 * `node server.ts DATABASE_URL ENGINE CACHE_FOLDER MANNER`.
 * MANNER is `compute`, or `set`: the policies then merge, as on Django's side. Prints its port, and ends when its standard
 * input does.
 */
import type { AddressInfo } from 'node:net'
import Koa, { type Context } from 'koa'
import { djangoSessions } from '../../../src/adapters/koa/django-sessions.ts'
import { djangoAuth } from '../../../src/site/django-auth.ts'
import { connect, secretKey } from '../../engines/db-under-test.ts'
import { fileBasedCache } from '../../histories/file-based-cache.ts'

interface Data {
  num_visits: number
  cart: string[]
  quantities: Record<string, Record<string, number>>
  tally: Record<string, number>
  checkout: string
}

const [databaseUrl = '', engine = '', cacheFolder = '', manner = ''] = process.argv.slice(2)
const db = connect(databaseUrl)
const options = { db, secretKeys: [secretKey], djangoVersion: '5.2' } as const
const auth = djangoAuth(options)
const app = new Koa()
app.silent = true // A refused save is an answer, not a fault.
app.use(
  djangoSessions({
    ...options,
    engine,
    ...(engine.endsWith('.cached_db') && { cache: fileBasedCache(cacheFolder) }),
    conflictTimeout: 60_000,
    merge: { num_visits: 'add', cart: 'union', tally: 'add', checkout: 'fail' },
  }),
)

async function visit(ctx: Context): Promise<void> {
  const { before, checkout } = ctx.query
  const [group, shelf, turn] = [ctx.query.group, ctx.query.shelf, ctx.query.turn].map(String) as [
    string,
    string,
    string,
  ]
  const item = `${shelf}-${turn}`
  const session = await ctx.session.load<Data>()
  ctx.body = {
    visits: Number(session.get('num_visits') ?? 0),
    turn: session.get('quantities')?.[group]?.[shelf] ?? null,
    checkout: session.get('checkout') ?? null,
  }
  const change = <K extends keyof Data>(key: K, next: (stored: Data[K] | undefined) => Data[K]): void => {
    if (manner === 'set') session.set(key, next(session.get(key)))
    else session.compute(key, (stored) => next(stored as Data[K] | undefined))
  }
  change('num_visits', (stored = 0) => stored + 1)
  if (before !== undefined)
    change('cart', (stored = []) => [...stored.filter((each) => each !== before), item])
  change('quantities', (stored = {}) => ({ ...stored, [group]: { ...stored[group], [shelf]: Number(turn) } }))
  change('tally', (stored = {}) => ({ ...stored, [group]: (stored[group] ?? 0) + 1 }))
  if (checkout !== undefined) session.set('checkout', item)
  await session.save()
}

app.use(async (ctx) => {
  if (ctx.path === '/visit') return visit(ctx)
  const session = await ctx.session.load()
  if (ctx.path === '/logout') await auth.logout(session)
  else {
    const user = await auth.findUser(String(ctx.query.user))
    if (user === null) return ctx.throw(404)
    await auth.login(session, user)
  }
  ctx.body = ''
})
const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
server.keepAliveTimeout = 120_000 // A client never sends on a connection that closes meanwhile.
process.stdin.resume().on('end', () => process.exit())
