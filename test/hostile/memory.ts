/** `node --expose-gc memory.ts unknown-keys|unreadable-rows URL` or `bomb`: prints the memory growth in bytes. */
import { once } from 'node:events'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { constants, deflateRawSync } from 'node:zlib'
import Koa from 'koa'
import { djangoSessions } from '../../src/adapters/koa/django-sessions.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { createSigner, sign } from '../../src/django/signing.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { connect } from '../engines/db-under-test.ts'

const [what, url = ''] = process.argv.slice(2)
console.log(what === 'bomb' ? bomb() : await visits())

/** The growth of the heap during visits with 10,000 different keys, after 5000 others as a warm-up. */
async function visits(): Promise<number> {
  const db = connect(url)
  const key = (n: number) => `unknown${n}`.padEnd(32, 'x')
  if (what === 'unreadable-rows') {
    for (let n = 0; n < 15_000; n += 250) {
      const rows = Array.from({ length: 250 }, (_, i) => ({
        session_key: key(n + i),
        session_data: 'e30:1:x',
        expire_date: '2999-01-01 00:00:00',
      }))
      await db('django_session').insert(rows)
    }
  }
  const app = new Koa()
  app.use(djangoSessions({ db, secretKeys: ['secret'], djangoVersion: '5.2', useTz: true }))
  app.use(async (ctx) => {
    const session = await ctx.session.load()
    ctx.body = String(session.get('num_visits', 0))
  })
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const visit = (n: number) =>
    new Promise<void>((resolve, reject) => {
      get({ port, agent, headers: { Cookie: `sessionid=${key(n)}` } }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
        response.resume().once('end', resolve)
      }).once('error', reject)
    })
  const come = async (from: number, to: number) => {
    for (let n = from; n < to; n += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => visit(n + i)))
    }
    await new Promise(setImmediate)
    globalThis.gc?.()
    return process.memoryUsage().heapUsed
  }
  const before = await come(0, 5000)
  const grown = (await come(5000, 15_000)) - before
  agent.destroy()
  server.close()
  await db.destroy()
  return grown
}

/** The growth of the peak memory by a stream that would decompress to 1 GiB. */
function bomb(): number {
  const signer = createSigner({ secretKeys: ['secret'], salt: 'django.contrib.sessions.SessionStore' })
  const now = () => new Date()
  // One block of spaces, repeated. The checksum is missing, but no reader gets that far.
  const block = deflateRawSync(Buffer.alloc(1 << 20, ' '), { finishFlush: constants.Z_FULL_FLUSH })
  const stream = Buffer.concat([Buffer.from([0x78, 0x9c]), ...Array.from({ length: 1024 }, () => block)])
  const row = sign(signer, `.${stream.toString('base64url')}`, { now })
  const codec = createSessionCodec({ secretKeys: ['secret'], profile: versionProfile('5.2'), now })
  const before = process.resourceUsage().maxRSS
  for (let time = 0; time < 4; time += 1) {
    try {
      codec.decode(row)
      throw new Error('was read')
    } catch (error) {
      if (!(error instanceof Error && 'reason' in error && error.reason === 'too-large')) throw error
    }
  }
  return (process.resourceUsage().maxRSS - before) * 1024
}
