import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { openDb } from '../engines/db-under-test.ts'
import { testDatabases } from '../support/databases.ts'

const PROCESSES = 2
const CONNECTIONS = 64
const HITS = 2000
const KEY = 'abcdefgh0123456789abcdefgh012345'

for (const name of testDatabases) {
  test.serial(
    `two processes and 64 connections on one session show each number once, on ${name}`,
    async (t) => {
      t.timeout(110_000)
      const site = await openDb(t, name)
      const expireDate = new Date(Date.now() + 3_600_000)
      await site.engine.create(KEY, { data: new Map([['other', '1.0']]), expireDate })
      const ports = await Promise.all(
        Array.from({ length: PROCESSES }, () => startServer(t, site.database.url)),
      )
      const agent = new Agent({ keepAlive: true, maxTotalSockets: CONNECTIONS })
      t.teardown(() => agent.destroy())

      const pages = await Promise.all(
        Array.from({ length: HITS }, (_, hit) => visit(agent, ports[hit % PROCESSES])),
      )

      t.deepEqual(
        pages.filter(({ status }) => status !== 200),
        [],
      )
      const numbers = pages.map(({ body }) => Number(body)).sort((a, b) => a - b)
      t.deepEqual(
        numbers,
        Array.from({ length: HITS }, (_, at) => at + 1),
      )
      const stored = await site.engine.load(KEY)
      t.deepEqual(
        [...(stored?.data ?? [])],
        [
          ['other', '1.0'],
          ['num_visits', String(HITS)],
        ],
      )
      t.is(await site.count(), 1)
    },
  )
}

/** Starts a server in a separate process; returns its port. */
async function startServer(t: ExecutionContext, databaseUrl: string): Promise<number> {
  const script = fileURLToPath(new URL('../support/hot-server.ts', import.meta.url))
  const server = spawn(process.execPath, [script, databaseUrl], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(async () => {
    server.kill()
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
  })
  const [port] = await once(createInterface(server.stdout), 'line')
  return Number(port)
}

async function visit(agent: Agent, port: number | undefined): Promise<{ status: number; body: string }> {
  const headers = { Cookie: `sessionid=${KEY}` }
  const request = get({ host: '127.0.0.1', port, path: '/', agent, headers })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, body: await text(response) }
}
