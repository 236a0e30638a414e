import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import closeWithGrace from 'close-with-grace'
import { createLog } from '../log.ts'
import { createService } from '../service.ts'
import { readSettings, type Settings } from '../settings.ts'
import { errorFields } from '../web/log.ts'

/** How long running requests may take to finish after SIGTERM, in milliseconds. */
const GRACE = 10_000

/** For a client that sends slowly, in milliseconds. */
const TIME_LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000 }

/** Serves until SIGTERM or SIGINT: then it stops listening, lets running requests finish, and closes the pool. */
export async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const settings = readSettings(env)
  const log = createLog(settings.logLevel)
  for (const warning of settings.warnings) log.warn('settings.warning', { warning })

  const service = await createService(settings, { log })
  const server = createServer(TIME_LIMITS, service.listener)
  server.listen(settings.port, settings.host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}/catalog/`
  log.info('service.listening', { url })

  let isStopping = false
  async function stop(): Promise<void> {
    isStopping = true
    service.drain()
    server.close()
    server.closeIdleConnections()
    await once(server, 'close')
    await service.close()
  }

  closeWithGrace({ delay: GRACE, logger: false }, async ({ err, signal }) => {
    if (err !== undefined) log.error('service.crashed', errorFields(err))
    log.info('service.stopping', { signal })
    await stop()
    log.info('service.stopped')
  })

  try {
    await service.ready
  } catch (error) {
    if (isStopping) return
    server.closeAllConnections()
    await stop()
    throw error
  }
  log.info('service.ready')
  if (settings.database.kind === 'sqlite' && settings.database.embedded) greet(settings, url)
}

function greet({ database }: Settings, url: string): void {
  const file = database.kind === 'sqlite' ? database.filename : ''
  console.log(`
  The embedded demo library is in ${file}; a real Django can use the same file.
  Open ${url}

  For a real site: DATABASE_URL=mysql://user:password@host/name DJANGO_SECRET_KEY=… npm start
`)
}
