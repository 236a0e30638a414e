import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { startMemcached } from './memcached.ts'
import { startRedis, startRedisCluster, startRedisSentinels } from './redis.ts'
import { until } from './until.ts'

test("a memcached of the test's own answers, freezes, dies, and comes back empty", async (t) => {
  const server = await startMemcached()
  t.teardown(() => server.stop())
  const ask = async ({ within = 30_000 } = {}) => {
    const socket = connect(server.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => null)
    socket.write('version\r\n')
    const answer = (await Promise.race([
      once(socket, 'data'),
      once(socket, 'close'),
      delay(within, ['frozen'], { ref: false }),
    ])) as unknown[]
    return String(answer[0])
  }
  t.regex(await ask(), /^VERSION 1\./)
  server.freeze()
  t.is(await ask({ within: 300 }), 'frozen') // Time enough for an answer, if one came.
  server.thaw()
  t.regex(await ask(), /^VERSION 1\./)
  const { pid } = server
  await server.kill()
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  await server.restart()
  t.regex(await ask(), /^VERSION 1\./)
})

test("a Redis of the test's own dies, and comes back empty", async (t) => {
  const server = await startRedis({ password: 'made-up' })
  t.teardown(() => server.stop())
  await server.command('SET', 'a', 'b')
  t.is(await server.command('GET', 'a'), 'b')
  await server.kill()
  await t.throwsAsync(server.command('GET', 'a'))
  await server.restart()
  t.is(await server.command('GET', 'a'), '')
})

test('sentinels put the replica in the place of a dead leader', async (t) => {
  const {
    servers: [leader, replica],
    leaderPort,
    stop,
  } = await startRedisSentinels()
  t.teardown(stop)
  t.is(await leaderPort(), leader?.port ?? 0)
  await leader?.kill()
  await until('the replica leads', async () => (await leaderPort()) === replica?.port)
  t.is(await leaderPort(), replica?.port ?? 0)
})

test('a cluster of three serves every slot', async (t) => {
  const { nodes, stop } = await startRedisCluster()
  t.teardown(stop)
  for (const node of nodes) t.regex(await node.command('CLUSTER', 'INFO'), /cluster_slots_ok:16384/)
})
