import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import { createLog, readableOutput } from '../log.ts'
import { createService, type Service } from '../service.ts'
import { readSettings, type Settings } from '../settings.ts'
import { http } from '../web/http.ts'
import { errorFields, type Log } from '../web/log.ts'
import { limitPipelining } from '../web/pipelining.ts'
import { limitBodyTime } from '../web/time-limit.ts'
import { isWebSocket } from '../web/upstream-upgrade.ts'

/** How long running requests may take to finish after SIGTERM, in milliseconds. */
const GRACE = 10_000

/** For a client that sends slowly, in milliseconds. */
const TIME_LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000 }

/** Beyond Django's time, in milliseconds: for the connection, and so that the visitor reads that it took too long. */
const UPSTREAM_GRACE = 10_000

/**
 * Serves until SIGTERM or SIGINT: then `/health/ready` says 503, and after SHUTDOWN_DELAY it stops listening, lets
 * running requests finish, and closes the pool. From the signal on each response is the last of its connection.
 */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const settings = readSettings(env)
  const log = createServiceLog(settings)
  for (const warning of settings.warnings) log.warn('settings.warning', { warning })

  const service = await createService(settings, { log, version: ownVersion() })
  const server = createPagesServer(service, settings)
  // In boxes that are emptied: of a Set that many enter and leave, V8 keeps the tables that it grew out of until a full
  // collection, each with the next one, and a response holds all that its request did.
  const running = new Set<{ response: ServerResponse | null }>()
  let isStopping = false
  server.prependListener('request', (_, response) => {
    const box: { response: ServerResponse | null } = { response }
    running.add(box)
    response.once('close', () => {
      running.delete(box)
      box.response = null
    })
    if (isStopping) response.setHeader('Connection', 'close')
  })
  let url = ''
  let metricsServer: Server | null = null
  try {
    url = `${await listen(server, settings)}/catalog/`
    log.info('service.listening', { url })
    metricsServer = await startMetrics(service.metricsListener, settings.metrics, log)
  } catch (error) {
    server.close()
    await service.close()
    throw error
  }

  async function stop({ afterDelay = 0 } = {}): Promise<void> {
    isStopping = true
    service.drain()
    for (const { response } of running) if (!response?.headersSent) response?.setHeader('Connection', 'close')
    await delay(afterDelay)
    server.close()
    for (const { response } of running) if (response?.closed === false) await once(response, 'close')
    server.closeAllConnections() // those on which nobody asks for anything
    metricsServer?.close()
    metricsServer?.closeAllConnections()
    await service.close()
  }

  const shutdownDelay = settings.shutdownDelay * 1000
  const onTimeout = () => log.error('service.killed', { running: running.size })
  const grace = closeWithGrace(
    { delay: shutdownDelay + GRACE, logger: false, onTimeout },
    async ({ err, signal }) => {
      if (err !== undefined) log.error('service.crashed', errorFields(err))
      log.info('service.stopping', { signal })
      await stop({ afterDelay: err === undefined ? shutdownDelay : 0 })
      log.info('service.stopped')
    },
  )

  try {
    await service.ready
  } catch (error) {
    if (isStopping) return
    grace.uninstall() // It would end the process with status 0.
    server.closeAllConnections()
    await stop()
    throw error
  }
  log.info('service.ready')
  if (settings.database.kind === 'sqlite' && settings.database.embedded) greet(settings, url)
}

/** JSON lines, or for a terminal lines for a person. */
function createServiceLog({ logLevel, logFormat }: Settings): Log {
  const isTerminal = process.stdout.isTTY === true
  if ((logFormat ?? (isTerminal ? 'pretty' : 'json')) === 'json') return createLog(logLevel)
  // Node heeds NO_COLOR (https://no-color.org) and TERM=dumb.
  return createLog(logLevel, readableOutput({ colors: isTerminal && process.stdout.hasColors() }))
}

/**
 * Where Django is behind us, large files may be on their way for long: there a silence ends a connection, as between us
 * and Django, and not the time that the whole request takes. Twice Django's time: a request may wait for a connection, and
 * then for the answer.
 */
function createPagesServer({ listener, onUpgrade }: Service, { upstream }: Settings): Server {
  if (onUpgrade === null || upstream === null) {
    return http.createServer(TIME_LIMITS, limitPipelining(listener).listener)
  }
  const pages = limitPipelining(limitBodyTime(listener, TIME_LIMITS.requestTimeout))
  // A WebSocket's answer would overtake those of the requests before it.
  const shouldUpgradeCallback = (request: IncomingMessage) =>
    isWebSocket(request) && !pages.isBusy(request.socket)
  const limits = { ...TIME_LIMITS, requestTimeout: 0, shouldUpgradeCallback }
  const server = http.createServer(limits, pages.listener).on('upgrade', onUpgrade)
  server.timeout = 2 * upstream.timeout * 1000 + UPSTREAM_GRACE
  return server
}

/** Gives the URL, without a slash at the end. */
async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<string> {
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

/** Null where there are no metrics: not wanted, or on the usual port, which another process has. */
async function startMetrics(
  listener: RequestListener | null,
  settings: Settings['metrics'],
  log: Log,
): Promise<Server | null> {
  if (listener === null || settings === null) return null
  const server = http.createServer(TIME_LIMITS, listener)
  try {
    log.info('metrics.listening', { url: `${await listen(server, settings)}/metrics` })
    return server
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    if (!isTaken || settings.isPortGiven) throw error
    log.warn('metrics.unavailable', { port: settings.port, hint: 'the port is taken; set METRICS_PORT' })
    return null
  }
}

function ownVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version, release } = JSON.parse(manifest)
  return version ?? release // a checkout has no version; see tools/pack.mjs
}

function greet({ database }: Settings, url: string): void {
  const file = database.kind === 'sqlite' ? database.filename : ''
  console.log(`
  The embedded demo library is in ${file}; a real Django can use the same file.
  Open ${url}

  For a real site: DATABASE_URL=mysql://user:password@host/name DJANGO_SECRET_KEY=… npm start
`)
}
