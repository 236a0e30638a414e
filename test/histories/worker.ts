/**
 * A process of a site that executes the requests of a history: `node worker.ts DATABASE_URL DJANGO_VERSION [CACHE_FOLDER]`,
 * where the version may be followed by a hashing algorithm, such as `3.2:sha1`. With the folder of a FileBasedCache, the
 * session engine is `cached_db`. Prints the port at which it takes requests by HTTP.
 * Then it reads one request a line, and prints one answer a line. It ends when its standard input does.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { SessionRequest } from '../../src/http/session-exchange.ts'
import { SessionInterrupted } from '../../src/session/commit.ts'
import type { Session } from '../../src/session/session.ts'
import { openSessionRequests } from '../../src/site/django-sessions.ts'
import { connect, secretKey } from '../engines/db-under-test.ts'
import { fileBasedCache } from './file-based-cache.ts'
import { type Answer, type Contents, nameOf, type Operation } from './history.ts'

/** What the other process does to this one, besides requests. */
export type Order = { readonly clock: number } | { readonly readOnly: boolean }

const [databaseUrl = '', version = '', cacheFolder = ''] = process.argv.slice(2)
const [djangoVersion = '', hashingAlgorithm] = version.split(':')
let clock = 0
const db = connect(databaseUrl, 2)
const { requests } = openSessionRequests({
  db,
  secretKeys: [secretKey],
  djangoVersion,
  ...(cacheFolder !== '' && { engine: 'merging_sessions.cached_db', cache: fileBasedCache(cacheFolder) }),
  ...(hashingAlgorithm === 'sha1' && { defaultHashingAlgorithm: hashingAlgorithm }),
  now: () => new Date(Date.now() + clock),
  events: { unreadable: (_, error) => console.error(`a row cannot be read: ${error.message}`) },
})

const LAST = 'last_'

interface Stored {
  [last: `${typeof LAST}${string}`]: number
  log: string[]
  count: number
  cart: Record<string, number>
}

function contentsOf(session: Session<Stored>): Contents {
  const last = session
    .items()
    .filter(([key]) => key.startsWith(LAST))
    .map(([key, number]) => [key.slice(LAST.length), Number(number)])
  return {
    log: session.get('log', []),
    count: session.get('count', 0),
    last: Object.fromEntries(last),
    cart: session.get('cart', {}),
  }
}

/** Executes a request as a page would, and saves as the middleware does. */
async function execute(operation: Operation, request: SessionRequest): Promise<Answer> {
  const { kind, client, number = 0 } = operation
  const session = await request.session.load<Stored>()
  if (kind !== 'create' && session.sessionKey === null) return { outcome: 'gone' }
  if (kind === 'create' || kind === 'change') {
    session.compute('log', (log) => [...((log ?? []) as string[]), nameOf(operation)])
    session.compute('count', (count) => Number(count ?? 0) + 1)
    session.set(`${LAST}${client}`, number)
    session.compute('cart', (cart) => ({ ...(cart as Record<string, number> | undefined), [client]: number }))
  }
  if (kind === 'logout') await session.flush()
  if (kind === 'expire') session.setExpiry(-86_400) // further than any clock is wrong
  if (kind === 'cycle') await session.cycleKey()
  const headers = await request.respond(200)
  if (kind === 'logout' || kind === 'expire') return { outcome: 'ok' }
  const seen = contentsOf(session)
  if (kind === 'read' || kind === 'change') return { outcome: 'ok', seen }
  const key = /sessionid=(\w+)/.exec(headers.setCookie ?? '')?.[1]
  return key === undefined ? { outcome: 'unknown' } : { outcome: 'ok', seen, key }
}

async function answer(operation: Operation, cookie: string | undefined): Promise<Answer> {
  try {
    return await execute(operation, requests.open(cookie))
  } catch (error) {
    return { outcome: error instanceof SessionInterrupted ? 'gone' : 'unknown' }
  }
}

const cookieOf = ({ key }: Operation) => (key === null ? undefined : `sessionid=${key}`)

async function obey(order: Order): Promise<void> {
  if ('clock' in order) clock = order.clock
  else await db.raw(`PRAGMA query_only = ${order.readOnly ? 1 : 0}`)
}

const server = createServer(async (request, response) => {
  const operation = JSON.parse(await text(request)) as Operation
  response.end(JSON.stringify(await answer(operation, request.headers.cookie)))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
console.log((server.address() as AddressInfo).port)

for await (const line of createInterface(process.stdin)) {
  const message = JSON.parse(line) as Operation | Order
  if ('id' in message) {
    void answer(message, cookieOf(message)).then((each) =>
      process.stdout.write(`${JSON.stringify({ end: message.id, ...each })}\n`),
    )
  } else await obey(message).catch(() => {})
}
process.exit()
