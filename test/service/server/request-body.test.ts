import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { createRequestBodies, type RequestBody } from '../../../src/service/server/request-body.ts'
import { openSocket, startBack } from '../proxy/behind.ts'

test('a slow client is reported once, and then no longer watched', async (t) => {
  const back = await startBack(t, (request) => void request.resume().on('error', () => {}))
  const bodies = createRequestBodies({ buffer: 0, timeout: 1000 })
  const slow = Promise.withResolvers<RequestBody>()
  const server = createServer((request) => {
    const body = bodies(request)
    const outgoing = httpRequest(back.url, { method: 'POST' }).on('error', () => {})
    t.teardown(() => outgoing.destroy())
    body.sendTo(outgoing, () => slow.resolve(body))
    t.true(body.isAwaited())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const client = openSocket(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => client.destroy())
  client.on('error', () => {}).write('POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n')
  t.false((await slow.promise).isAwaited())
})
