import test from 'ava'
import Koa from 'koa'
import { createHealth } from '../../../src/service/monitoring/health.ts'
import { listen, recordLog, startLibrary } from '../../support/library.ts'

test('a running service is live, a service with a database is ready; neither sets a cookie', async (t) => {
  const { url } = await startLibrary(t, { session: { saveEveryRequest: true } })
  for (const [path, status] of [
    ['/health/live', 'live'],
    ['/health/ready', 'ready'],
  ]) {
    const response = await fetch(`${url}${path}`, { headers: { Cookie: 'sessionid=abcdefghijklmnop' } })
    t.is(response.status, 200)
    t.deepEqual(await response.json(), { status })
    t.is(response.headers.get('Cache-Control'), 'no-store')
    t.is(response.headers.get('Set-Cookie'), null)
    t.is(response.headers.get('Vary'), null)
  }
})

test('a service without its database is live but not ready, and only the log says why', async (t) => {
  const { url, db, log } = await startLibrary(t)
  await db.destroy()
  t.is((await fetch(`${url}/health/live`)).status, 200)
  const response = await fetch(`${url}/health/ready`)
  t.is(response.status, 503)
  t.deepEqual(await response.json(), { status: 'unavailable' })
  t.is((await log.next('health.unavailable')).error, 'Error')
})

test('a service that is shutting down is live but not ready', async (t) => {
  const { url } = await startLibrary(t, { app: () => ({ isDraining: () => true }) })
  t.is((await fetch(`${url}/health/live`)).status, 200)
  const response = await fetch(`${url}/health/ready`)
  t.is(response.status, 503)
  t.deepEqual(await response.json(), { status: 'draining' })
})

test('a database that never answers makes the service not ready', async (t) => {
  const log = recordLog()
  const { ready } = createHealth({ ping: () => new Promise(() => {}), log, timeout: 10 })
  const url = await listen(t, new Koa().use(ready).callback())
  t.is((await fetch(url)).status, 503)
  t.is((await log.next('health.unavailable')).code, 'ERR_PING_TIMEOUT')
})

test('a HEAD is answered like a GET, without the body', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/health/ready`, { method: 'HEAD' })
  t.is(response.status, 200)
  t.is(await response.text(), '')
})

test('another method is a 405 and never reaches a session', async (t) => {
  const { url } = await startLibrary(t, { session: { saveEveryRequest: true } })
  const response = await fetch(`${url}/health/live`, {
    method: 'POST',
    headers: { Cookie: 'sessionid=abcdefghijklmnop' },
  })
  t.is(response.status, 405)
  t.is(response.headers.get('Allow'), 'HEAD, GET')
  t.is(response.headers.get('Set-Cookie'), null)
})
