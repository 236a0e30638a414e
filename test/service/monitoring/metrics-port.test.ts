import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test from 'ava'
import type { Scope } from '../../support/file-scope.ts'
import { scrape } from '../../support/scrape.ts'
import { startCommand, startService } from '../../support/service.ts'

test('METRICS_PORT=0 uses a free port on the loopback address, and logs it', async (t) => {
  const service = await startService(t, { env: { METRICS_PORT: '0' } })
  const { url } = await service.next('metrics.listening')
  t.regex(String(url), /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  await fetch(`${service.url}/catalog/`)
  const { samples } = await scrape(new URL(String(url)).origin)
  t.is(samples.get('http_request_duration_seconds_count{method="GET",route="home",status="2xx"}'), 1)
  t.is((await fetch(`${service.url}/metrics`)).status, 404)
  t.is(await service.stop(), 0)
})

test('when another process uses the default port, there is a warning and the pages are served', async (t) => {
  await takePort(t, 9464)
  const service = await startService(t, { env: { METRICS_PORT: '' } })
  t.like(await service.next('metrics.unavailable'), { level: 40, port: 9464 })
  t.is((await fetch(`${service.url}/catalog/`)).status, 200)
  t.is(await service.stop(), 0)
})

test('a METRICS_PORT that another process uses is an error, and nothing stays running', async (t) => {
  const port = await takePort(t)
  const command = startCommand(t, ['serve'], { env: { PORT: '0', METRICS_PORT: String(port) } })
  t.is(await command.ended, 1)
  t.regex(
    command.stderr(),
    new RegExp(`^CannotListen: METRICS_PORT: .*port ${port}; .*set METRICS_PORT .*\\(EADDRINUSE\\)\n$`),
  )
})

test('METRICS=False opens no port', async (t) => {
  const service = await startService(t, { env: { METRICS: 'False', METRICS_PORT: '0' } })
  t.is(await service.stop(), 0)
  t.false(service.stdout().includes('metrics'))
})

/** Listens on the port, unless another process does already. Default: any free port. */
async function takePort(t: Scope, port = 0): Promise<number> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return port
  }
  t.teardown(() => void server.close())
  return (server.address() as AddressInfo).port
}
