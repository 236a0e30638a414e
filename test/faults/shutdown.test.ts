import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { testDatabases } from '../support/databases.ts'
import { startLoad, summary, type Visit, visitHome } from '../support/load.ts'
import { waitForLockWait } from '../support/lock-waits.ts'
import { assertNothingLost, type ServerName, startBackend, startReadyService } from './site.ts'

const servers = (['mariadb', 'postgresql'] as const satisfies readonly ServerName[]).filter((name) =>
  testDatabases.includes(name),
)
const name = servers[0] ?? 'mariadb'

const ok = (visit: Visit) => visit.status === 200

for (const name of servers) {
  test.serial(
    `SIGTERM under load on ${name}: running requests finish and are saved, and it exits with 0`,
    async (t) => {
      const backend = await startBackend(t, name)
      const service = await startReadyService(t, backend.databaseUrl)
      const first = await visitHome(service.url)
      const { sessionKey } = first
      const load = startLoad(service.url, {
        sessionKeys: [...Array(16).fill(sessionKey ?? undefined), ...Array(16).fill(undefined)],
      })
      await load.more(200, ok)
      // Requests wait for this lock, so that some are certainly running.
      const { sql } = await backend.connect()
      await sql('BEGIN')
      await sql(`SELECT session_key FROM django_session WHERE session_key = '${sessionKey}' FOR UPDATE`)
      await waitForLockWait(backend.url.replace(/\/?$/, '/library'))
      service.kill('SIGTERM')
      await service.next('service.stopping')
      const releasedAt = performance.now()
      await sql('ROLLBACK')

      t.is(await service.ended, 0)
      const visits = await load.stop()
      t.log(summary(visits))
      t.is(summary(visits.filter((visit) => visit.status !== null && !ok(visit))), '')
      const late = visits.filter(
        (visit) => ok(visit) && visit.endedAt > releasedAt && visit.sessionKey === sessionKey,
      )
      t.true(late.length >= 16)
      t.deepEqual(new Set(late.map((visit) => visit.connectionHeader)), new Set(['close']))
      await assertNothingLost(t, backend.databaseUrl, [first, ...visits])
      const { sql: ask } = await backend.connect()
      const left = {
        mariadb: "SELECT id FROM information_schema.processlist WHERE user = 'site'",
        postgresql: "SELECT pid FROM pg_stat_activity WHERE usename = 'site'",
      }
      t.deepEqual(await ask(left[name]), [])
    },
  )
}

test.serial(
  'for SHUTDOWN_DELAY seconds the service reports that it is not ready, and still serves new connections',
  async (t) => {
    const backend = await startBackend(t, name)
    const service = await startReadyService(t, backend.databaseUrl, { SHUTDOWN_DELAY: '1.5' })
    service.kill('SIGTERM')
    await service.next('service.stopping')

    const ready = await fetch(`${service.url}/health/ready`)
    t.is(ready.status, 503)
    t.deepEqual(await ready.json(), { status: 'draining' })
    t.is((await fetch(`${service.url}/health/live`)).status, 200)
    const visit = await visitHome(service.url, { agent: new Agent({ keepAlive: true }) })
    t.is(visit.status, 200)
    t.is(visit.connectionHeader, 'close')
    t.is(await service.ended, 0)
    t.is((await visitHome(service.url)).failure, 'ECONNREFUSED')
  },
)

test.serial('idle connections do not delay the shutdown', async (t) => {
  const backend = await startBackend(t, name)
  const service = await startReadyService(t, backend.databaseUrl)
  const { hostname, port } = new URL(service.url)
  const silent = connect(Number(port), hostname)
  const slow = connect(Number(port), hostname, () =>
    slow.write('GET /catalog/ HTTP/1.1\r\nHost: 127.0.0.1\r\n'),
  )
  const kept = connect(Number(port), hostname, () =>
    kept.write('GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
  )
  const sockets = [silent, slow, kept]
  for (const socket of sockets) socket.on('error', () => {})
  const answered = once(kept, 'data')
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  await answered
  service.kill('SIGTERM')
  t.is(await service.ended, 0)
  t.false(service.log().some(({ event }) => event === 'service.killed'))
})

test.serial('the service exits with 0 within the grace period although the database is frozen', async (t) => {
  const backend = await startBackend(t, name)
  const service = await startReadyService(t, backend.databaseUrl)
  const load = startLoad(service.url, { sessionKeys: Array(16).fill(undefined) })
  await load.more(50, ok)
  backend.freeze()
  // Wait until no request is answered: all of them wait for the database.
  for (let before = -1; before !== load.visits.length; await delay(100)) before = load.visits.length
  service.kill('SIGTERM')
  t.is(await service.ended, 0)
  backend.thaw()
  const visits = await load.stop()
  t.log(summary(visits))
  await assertNothingLost(t, backend.databaseUrl, visits)
})

test.serial('a second signal ends the service at once', async (t) => {
  const backend = await startBackend(t, name)
  const service = await startReadyService(t, backend.databaseUrl, { SHUTDOWN_DELAY: '3600' })
  service.kill('SIGTERM')
  await service.next('service.stopping')
  t.true(service.isRunning)
  service.kill('SIGTERM')
  t.is(await service.ended, 1)
})
