import { once } from 'node:events'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { quoted } from '../checks/quoted.ts'
import { withDeadline } from '../concurrency/deadline.ts'
import { errorFields, type Log } from '../service/monitoring/log.ts'
import { createLog, readableOutput, standardOutput } from '../service/monitoring/pino-log.ts'
import { packageVersion } from '../service/package-folder.ts'
import { isWebSocket } from '../service/proxy/websocket.ts'
import { http } from '../service/server/node-http.ts'
import { limitPipelining } from '../service/server/pipelining.ts'
import { limitBodyTime } from '../service/server/time-limit.ts'
import { createService, type Service } from '../service/service.ts'
import { readSettings, type Settings } from '../service/settings/settings.ts'
import { problemText } from './problem-text.ts'

/** Milliseconds that running requests may take after SIGTERM. */
const GRACE = 10_000

/** Limits for slow clients, in milliseconds. By default Node checks them only every 30 s. */
const TIME_LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 1000 }

/** More milliseconds than Django has: for connecting, and so that the visitor gets the 504. */
const UPSTREAM_GRACE = 10_000

/** How long the end of the process waits for a slow reader of the log, in milliseconds. */
const LOG_GRACE = 2000

/** How long `service.listening` waits for the first attempt to check the databases, in milliseconds: an error comes before it. */
const FIRST_ATTEMPT = 5000

/**
 * Serves until SIGTERM or SIGINT. Then `/health/ready` answers 503, and after SHUTDOWN_DELAY the service stops listening,
 * lets running requests finish, and closes the pool. After the signal, each response closes its connection.
 * Only such a stop ends the process with exit status 0.
 * @throws an error about the settings or the databases, with a message for the operator.
 */
export async function startService(env: NodeJS.ProcessEnv): Promise<void> {
  // Any other end of the process is a failure, also an empty event loop.
  process.exitCode = 1
  keepCompiledCode()
  const settings = readSettings(env)
  const { log, written } = createServiceLog(settings)
  for (const warning of settings.warnings) log.warn('settings.warning', { warning })
  try {
    await serveWith(settings, { log, written })
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw error
    log.debug('service.start_failed', errorFields(error))
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    throw new UnexpectedFailure(`${reason}; set LOG_LEVEL=debug to log the stack`, { cause: error })
  }
}

/**
 * In a quiet minute V8 collects garbage several times, and drops the compiled code of functions that have not run since:
 * for some seconds afterwards a request would cost up to 1.8 times the CPU. The kept code takes two megabytes.
 */
function keepCompiledCode(): void {
  setFlagsFromString('--no-flush-bytecode')
}

/** A start failed for an unknown reason. */
class UnexpectedFailure extends Error {
  override name = 'UnexpectedFailure'
  readonly code: string = 'ERR_UNEXPECTED'
}

interface ServiceLog {
  readonly log: Log
  /** Resolves once the lines so far are written. */
  readonly written: () => Promise<void>
}

/** JSON lines, or readable lines on a terminal. */
function createServiceLog({ logLevel, logFormat }: Settings): ServiceLog {
  const isTerminal = process.stdout.isTTY === true
  if ((logFormat ?? (isTerminal ? 'pretty' : 'json')) === 'json') {
    const output = standardOutput()
    return { log: createLog(logLevel, output), written: output.written }
  }
  // hasColors() follows NO_COLOR (https://no-color.org) and TERM=dumb.
  const output = readableOutput({ colors: isTerminal && process.stdout.hasColors() })
  return { log: createLog(logLevel, output), written: async () => {} }
}

async function serveWith(settings: Settings, { log, written }: ServiceLog): Promise<void> {
  const service = await createService(settings, {
    log,
    version: packageVersion(),
    // Imported only after the start, so that a start costs no more CPU.
    async diagnose(storage, signal) {
      const { diagnoseService } = await import('../operations/doctor/diagnose-service.ts')
      return diagnoseService(settings, { storage, signal })
    },
  })
  const server = createPagesServer(service, settings)
  // Each response is in a box that is emptied at its end. After growing, V8 keeps a Set's old tables until a full garbage
  // collection, and they would keep the responses and all that belongs to their requests.
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
  let metricsServer: Server | null = null

  async function stop({ afterDelay = 0 } = {}): Promise<void> {
    isStopping = true
    service.drain()
    for (const { response } of running) if (!response?.headersSent) response?.setHeader('Connection', 'close')
    await delay(afterDelay)
    server.close()
    for (const { response } of running) if (response?.closed === false) await once(response, 'close')
    server.closeAllConnections() // idle ones
    metricsServer?.close()
    metricsServer?.closeAllConnections()
    await service.close()
  }

  const shutdownDelay = settings.shutdownDelay * 1000
  const onTimeout = () => log.error('service.killed', { running: running.size })
  let startError: unknown = null
  const grace = closeWithGrace(
    // Not on `beforeExit`: an empty event loop is not a requested stop, and must not exit with 0.
    { delay: shutdownDelay + GRACE, logger: false, onTimeout, skip: ['beforeExit'] },
    async ({ err, signal }) => {
      if (err !== undefined) log.error('service.crashed', errorFields(err))
      log.info('service.stopping', { signal })
      await stop({ afterDelay: err === undefined ? shutdownDelay : 0 })
      if (startError !== null) throw startError // The start had failed before the signal: exit with 1.
      log.info('service.stopped')
      await withDeadline(written(), LOG_GRACE, { onLate: () => {} })
    },
  )

  let url = ''
  try {
    const origin = await listen(server, settings, { host: 'HOST', port: 'PORT' })
    await withDeadline(service.firstAttempt, FIRST_ATTEMPT, { onLate: () => {} })
    // If the start has failed by now, `service.listening` is not logged.
    await Promise.race([service.ready, Promise.resolve()])
    metricsServer = await startMetrics(service.metricsListener, settings.metrics, log)
    url = `${origin}/${service.servesHome() ? 'catalog/' : ''}`
    if (!isStopping) log.info('service.listening', { url })
    await service.ready
  } catch (error) {
    if (isStopping) {
      if (!isAbort(error)) {
        startError = error
        console.error(problemText(error))
      }
      return
    }
    grace.uninstall()
    server.closeAllConnections()
    // The error is reported even if stopping fails or hangs.
    await withDeadline(
      stop().catch(() => {}),
      GRACE,
      { onLate: () => {} },
    )
    throw error
  }
  log.info('service.ready')
  if (settings.database.kind === 'sqlite' && settings.database.embedded) greet(settings, url)
}

/** Whether `service.ready` rejected because the service was closed while it waited. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/**
 * The HTTP server of the pages. With an upstream, large transfers may take long: the limit is then on the time without
 * any data, as between this service and Django, and not on the whole request. It is twice Django's time, because a
 * request may wait first for a connection and then for the answer.
 */
function createPagesServer({ listener, onUpgrade }: Service, { upstream }: Settings): Server {
  if (onUpgrade === null || upstream === null) {
    return http.createServer(TIME_LIMITS, limitPipelining(listener).listener)
  }
  const pages = limitPipelining(limitBodyTime(listener, TIME_LIMITS.requestTimeout))
  // Otherwise the answer to a WebSocket handshake would overtake the answers to earlier requests.
  const shouldUpgradeCallback = (request: IncomingMessage) =>
    isWebSocket(request) && !pages.isBusy(request.socket)
  const limits = { ...TIME_LIMITS, requestTimeout: 0, shouldUpgradeCallback }
  const server = http.createServer(limits, pages.listener).on('upgrade', onUpgrade)
  server.timeout = 2 * upstream.timeout * 1000 + UPSTREAM_GRACE
  return server
}

/** The names of the settings for address and port. */
interface ListenSettings {
  readonly host: string
  readonly port: string
}

/** Starts to listen, and returns the URL without a trailing slash. @throws {CannotListen} */
async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  names: ListenSettings,
): Promise<string> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new CannotListen(`${whyNot(code, { host, port }, names)} (${code})`, code)
  }
  const address = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

/** The server cannot listen on this address and port. */
class CannotListen extends Error {
  override name = 'CannotListen'
  readonly code: string = 'ERR_CANNOT_LISTEN'
  readonly reason: string

  constructor(message: string, reason: string) {
    super(message)
    this.reason = reason
  }
}

function whyNot(code: string, { host, port }: { host: string; port: number }, names: ListenSettings): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${names.port}: another process listens on ${host} port ${port}; stop it, or set ${names.port} to a free port (0: any)`
    case 'EACCES':
    case 'EPERM':
      return `${names.port}: this process does not have the right to listen on port ${port}; set ${names.port} to 1024 or more, or give Node the capability CAP_NET_BIND_SERVICE`
    case 'EADDRNOTAVAIL':
      return `${names.host}: ${host} is not an address of this machine; set ${names.host} to an address of this machine, e.g. 127.0.0.1, or to 0.0.0.0 for all`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${names.host}: the name ${quoted(host)} does not resolve; set ${names.host} to an address of this machine, e.g. 127.0.0.1, or to 0.0.0.0 for all`
    default:
      return `${names.host}, ${names.port}: cannot listen on ${host} port ${port}; set them to an address of this machine and a free port`
  }
}

/** Null without metrics: they are turned off, or another process uses the default port. */
async function startMetrics(
  listener: RequestListener | null,
  settings: Settings['metrics'],
  log: Log,
): Promise<Server | null> {
  if (listener === null || settings === null) return null
  const server = http.createServer(TIME_LIMITS, listener)
  try {
    const url = await listen(server, settings, { host: 'METRICS_HOST', port: 'METRICS_PORT' })
    log.info('metrics.listening', { url: `${url}/metrics` })
    return server
  } catch (error) {
    const isTaken = error instanceof CannotListen && error.reason === 'EADDRINUSE'
    if (!isTaken || settings.isPortGiven) throw error
    log.warn('metrics.unavailable', {
      port: settings.port,
      hint: 'another process uses the port; set METRICS_PORT',
    })
    return null
  }
}

function greet({ database }: Settings, url: string): void {
  const file = database.kind === 'sqlite' ? database.filename : ''
  console.log(`
  The embedded demo library is in ${file}; a Django site can use the same file.
  Open ${url}

  For your own site: DATABASE_URL=mysql://user:password@host/name DJANGO_SECRET_KEY=… npm start
`)
}
