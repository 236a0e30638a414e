import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { createLoginThrottle, networkOf, TooManyTries } from '../../../src/service/pages/login-throttle.ts'

function start(options: Partial<Parameters<typeof createLoginThrottle>[0]> = {}) {
  const clock = { now: 0 }
  const throttle = createLoginThrottle({
    byName: 2,
    byAddress: 3,
    window: 60,
    monotonic: () => clock.now,
    ...options,
  })
  return { clock, throttle }
}

test('a name may fail up to its limit within the window', (t) => {
  const { clock, throttle } = start()
  throttle.begin('a', '1')
  clock.now = 10_000
  throttle.begin('a', '2')
  clock.now = 20_500
  t.like(
    t.throws(() => throttle.begin('a', '3'), { instanceOf: TooManyTries }),
    { by: 'name', retryAfter: 40 },
  )
  clock.now = 60_000
  t.notThrows(() => throttle.begin('a', '3'))
})

test('an address may fail up to its limit, whatever the names', (t) => {
  const { throttle } = start()
  for (const name of ['a', 'b', 'c']) throttle.begin(name, '1')
  t.like(
    t.throws(() => throttle.begin('d', '1'), { instanceOf: TooManyTries }),
    { by: 'address' },
  )
})

test('a success resets the count of the name, and of the address only its own attempt', (t) => {
  const { throttle } = start()
  throttle.begin('a', '1')
  throttle.begin('a', '1').succeed()
  throttle.begin('a', '1')
  t.notThrows(() => throttle.begin('a', '1'))
  t.throws(() => throttle.begin('b', '1'), { instanceOf: TooManyTries })
})

test('an attempt that the throttle refuses does not count', (t) => {
  const { clock, throttle } = start()
  throttle.begin('a', '1')
  throttle.begin('a', '1')
  for (let attempt = 0; attempt < 9; attempt += 1) t.throws(() => throttle.begin('a', '1'))
  t.notThrows(() => throttle.begin('b', '1'))
  clock.now = 60_000
  t.notThrows(() => throttle.begin('a', '1'))
})

test('an address at its limit is refused before any query, and that check does not count', (t) => {
  const { clock, throttle } = start()
  for (let look = 0; look < 9; look += 1) t.notThrows(() => throttle.checkAddress('1'))
  for (const account of ['a', 'b', 'c']) throttle.begin(account, '1')
  t.like(
    t.throws(() => throttle.checkAddress('1'), { instanceOf: TooManyTries }),
    { by: 'address', retryAfter: 60 },
  )
  t.notThrows(() => throttle.checkAddress('2'))
  clock.now = 60_000
  t.notThrows(() => throttle.checkAddress('1'))
})

test('a success resets the count of its own account only', (t) => {
  const { throttle } = start({ byAddress: 100 })
  throttle.begin('id 1', '1')
  throttle.begin('id 1', '1')
  throttle.begin('id 2', '1').succeed()
  t.throws(() => throttle.begin('id 1', '1'))
})

test('long names and addresses need as much memory as short ones', (t) => {
  v8.setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const bytesFor = (length: number) => {
    const { throttle } = start({ byName: 1, byAddress: 1, capacity: 10_000 })
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    for (let at = 0; at < 20_000; at += 1)
      throttle.begin(String(at).padStart(length, 'x'), String(at).padStart(length, 'y'))
    collectGarbage()
    const after = process.memoryUsage().heapUsed
    t.throws(() => throttle.begin('', '19999'.padStart(length, 'y')))
    return after - before
  }
  const [short, long] = [bytesFor(10), bytesFor(10_000)]
  t.true(short < 10_000 * 2 * 400, `${short}`)
  t.true(long < 2 * short, `${long} against ${short}`)
})

test('at most `capacity` names are remembered, the newest ones', (t) => {
  const { throttle } = start({ capacity: 100, byAddress: 1e6 })
  for (let name = 0; name < 1000; name += 1) throttle.begin(`user${name}`, '1')
  t.notThrows(() => {
    throttle.begin('user0', '1')
    throttle.begin('user0', '1')
  })
  throttle.begin('user999', '1')
  t.throws(() => throttle.begin('user999', '1'))
})

for (const [address, network] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:0DB8:1:2::', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['::', '0:0:0:0'],
  ['1:2:3:4:5:6:7::', '1:2:3:4'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['fe80:0:0:0:9:8:7:6%25wlan0', 'fe80:0:0:0'],
  // Azure's gateways and others add the port, which differs for each connection.
  ['203.0.113.9:40001', '203.0.113.9'],
  [' 203.0.113.9:40002', '203.0.113.9'],
  ['[2001:db8:1:2::3]:40001', '2001:db8:1:2'],
  ['[2001:DB8:1:2:ffff::]', '2001:db8:1:2'],
  ['[fe80::1%eth0]:1', 'fe80:0:0:0'],
  ['::FFFF:192.0.2.7', '192.0.2.7'],
  ['::ffff:c000:207', '192.0.2.7'],
  ['0:0:0:0:0:ffff:192.0.2.7', '192.0.2.7'],
  ['[::ffff:192.0.2.7]:40001', '192.0.2.7'],
  ['::192.0.2.7', '0:0:0:0'],
  ['64:ff9b::192.0.2.7', '192.0.2.7'],
  ['64:ff9b:1::192.0.2.7', '64:ff9b:1:0'],
  ['2001:db8:::1', '2001:db8:::1'],
  ['unknown', 'unknown'],
  ['unknown:40001', 'unknown'],
  ['', ''],
] as const) {
  test(`the address ${JSON.stringify(address)} counts as the network ${network}`, (t) => {
    t.is(networkOf(address), network)
  })
}
