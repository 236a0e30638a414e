/**
 * One process of a site whose every page changes the session as hot_site.py does: `node server.ts DATABASE_URL`.
 * Prints its port, and ends when its standard input does.
 */
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { djangoSessions } from '../../../src/adapters/koa/django-sessions.ts'
import { connect, secretKey } from '../../engines/db-under-test.ts'

interface Data {
  num_visits: number
  cart: string[]
  quantities: Record<string, number>
}

const db = connect(process.argv[2] ?? '')
const app = new Koa()
app.silent = true // A session that was deleted by a login is an answer, not a fault.
app.use(djangoSessions({ db, secretKeys: [secretKey], djangoVersion: '5.2', conflictTimeout: 60_000 }))
app.use(async (ctx) => {
  const { shelf, turn, before } = ctx.query
  const session = await ctx.session.load<Data>()
  ctx.body = {
    visits: Number(session.get('num_visits') ?? 0),
    turn: session.get('quantities')?.[String(shelf)] ?? null,
  }
  session.compute('num_visits', (stored) => Number(stored ?? 0) + 1)
  if (before !== undefined)
    session.compute('cart', (stored = []) => [
      ...stored.filter((item) => item !== before),
      `${shelf}-${turn}`,
    ])
  session.compute('quantities', (stored = {}) => ({ ...stored, [String(shelf)]: Number(turn) }))
  await session.save()
})
const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
server.keepAliveTimeout = 120_000 // A client never sends on a connection that closes meanwhile.
process.stdin.resume().on('end', () => process.exit())
