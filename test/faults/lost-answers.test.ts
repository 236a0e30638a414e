import test from 'ava'
import { testDatabases } from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import { visitHome } from '../support/load.ts'
import { type LossyNetwork, startLossyNetwork } from '../support/lossy-network.ts'
import { type Backend, type ServerName, type Service, startBackend, startReadyService } from './site.ts'

/** Not those by which the service asks for its rights, which change no row, and come late on a busy machine. */
const SAVE = /update .django_session. (?:as stored )?set session_data/
const NEW_SESSION = /insert into .django_session. \(session_key/

for (const name of ['mariadb', 'postgresql'] as const satisfies readonly ServerName[]) {
  if (!testDatabases.includes(name)) continue

  test.serial(`a write whose answer from ${name} is lost is counted once, and not repeated`, async (t) => {
    const { network, service, backend } = await start(t, name)
    const { sessionKey = null } = await visitHome(service.url)
    const visit = () => visitHome(service.url, { sessionKey: sessionKey ?? undefined })
    t.is((await visit()).shown, 2)

    network.lose('answer', SAVE)
    const unanswered = await visit()
    t.is(unanswered.status, 503)
    t.true(Number(unanswered.retryAfter) > 0)
    t.is(network.lost, 1)
    network.mend()
    t.is((await visit()).shown, 4)

    network.lose('question', SAVE)
    t.is((await visit()).status, 503)
    t.is(network.lost, 2)
    network.mend()
    t.is((await visit()).shown, 5)
    t.is(await countRows(backend), 1)
  })

  test.serial(`a joint write on ${name} whose answer is lost is counted once per visitor`, async (t) => {
    const { network, service } = await start(t, name)
    const visitors = await Promise.all(Array.from({ length: 8 }, () => visitHome(service.url)))
    const visitAll = () =>
      Promise.all(
        visitors.map(({ sessionKey }) => visitHome(service.url, { sessionKey: sessionKey ?? undefined })),
      )
    for (const [lost, counts] of [
      ['answer', 3], // numbers 1 and 2 were not shown
      ['question', 4],
    ] as const) {
      network.lose(lost, SAVE)
      t.deepEqual(new Set((await visitAll()).map(({ status }) => status)), new Set([503]))
      network.mend()
      t.deepEqual(new Set((await visitAll()).map(({ shown }) => shown)), new Set([counts]))
    }
  })

  test.serial(
    `a new visitor whose INSERT was executed by ${name} but not answered gets no second row`,
    async (t) => {
      const { network, service, backend } = await start(t, name)
      network.lose('answer', NEW_SESSION)
      const visit = await visitHome(service.url)
      t.is(visit.status, 503)
      t.is(visit.sessionKey, null)
      t.is(await countRows(backend), 1)
      network.mend()
      t.is((await visitHome(service.url)).shown, 1)
      t.is(await countRows(backend), 2)
    },
  )

  test.serial(`a read from ${name} whose answer is lost is repeated, and no visitor notices`, async (t) => {
    const { network, service } = await start(t, name)
    const { sessionKey } = await visitHome(service.url)
    for (const [at, table] of ['django_session', 'catalog_author'].entries()) {
      network.lose('answer', new RegExp(`^[^]{0,20}select[^]*${table}`), { times: 2 })
      t.is((await visitHome(service.url, { sessionKey: sessionKey ?? undefined })).shown, at + 2)
      t.is(network.lost, 2 * (at + 1))
    }
  })
}

async function start(
  t: Scope,
  name: ServerName,
): Promise<{ network: LossyNetwork; service: Service; backend: Backend }> {
  const backend = await startBackend(t, name)
  const network = await startLossyNetwork(t, backend.port)
  const url = new URL(backend.databaseUrl)
  url.port = String(network.port)
  return { backend, network, service: await startReadyService(t, url.href) }
}

async function countRows(backend: Backend): Promise<number> {
  const { sql } = await backend.connect()
  return (await sql('SELECT session_key FROM django_session')).length
}
