/**
 * One process of a site whose every page counts the visitor's visits: `node hot-server.ts DATABASE_URL`.
 * Prints its port, and ends when its standard input does.
 */
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { djangoSessions } from '../../src/adapters/koa/django-sessions.ts'
import { connect, secretKey } from '../engines/db-under-test.ts'

const db = connect(process.argv[2] ?? '')
const app = new Koa()
app.use(djangoSessions({ db, secretKeys: [secretKey], djangoVersion: '5.2', conflictTimeout: 60_000 }))
app.use(async (ctx) => {
  const session = await ctx.session.load<{ num_visits: number }>()
  session.compute('num_visits', (stored) => Number(stored ?? 0) + 1)
  await session.save()
  ctx.body = String(session.require('num_visits'))
})
const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
process.stdin.resume().on('end', () => process.exit())
