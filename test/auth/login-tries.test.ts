import test from 'ava'
import { createLoginTries, networkOf, TooManyTries } from '../../src/auth/login-tries.ts'

function start(options: Partial<Parameters<typeof createLoginTries>[0]> = {}) {
  const clock = { now: 0 }
  const tries = createLoginTries({ byName: 2, byAddress: 3, window: 60, now: () => clock.now, ...options })
  return { clock, tries }
}

test('a name may fail as often as the limit says within the window', (t) => {
  const { clock, tries } = start()
  tries.begin('a', '1')
  clock.now = 10_000
  tries.begin('a', '2')
  clock.now = 20_500
  t.like(
    t.throws(() => tries.begin('a', '3'), { instanceOf: TooManyTries }),
    { by: 'name', retryAfter: 40 },
  )
  clock.now = 60_000
  t.notThrows(() => tries.begin('a', '3'))
})

test('an address, too, whatever the names', (t) => {
  const { tries } = start()
  for (const name of ['a', 'b', 'c']) tries.begin(name, '1')
  t.like(
    t.throws(() => tries.begin('d', '1'), { instanceOf: TooManyTries }),
    { by: 'address' },
  )
})

test('a success forgets the failures of the name, and only itself of the address', (t) => {
  const { tries } = start()
  tries.begin('a', '1')
  tries.begin('a', '1').succeeded()
  tries.begin('a', '1')
  t.notThrows(() => tries.begin('a', '1'))
  t.throws(() => tries.begin('b', '1'), { instanceOf: TooManyTries })
})

test('a try that was refused is no try', (t) => {
  const { clock, tries } = start()
  tries.begin('a', '1')
  tries.begin('a', '1')
  for (let attempt = 0; attempt < 9; attempt += 1) t.throws(() => tries.begin('a', '1'))
  t.notThrows(() => tries.begin('b', '1'))
  clock.now = 60_000
  t.notThrows(() => tries.begin('a', '1'))
})

test('spellings of a name that a database may take for one are one', (t) => {
  const { tries } = start()
  tries.begin('Reader', '1')
  tries.begin(' ｒeader ', '2')
  t.throws(() => tries.begin('READER', '3'))
})

test('no more names are kept in mind than there is room for, the newest', (t) => {
  const { tries } = start({ capacity: 100, byAddress: 1e6 })
  for (let name = 0; name < 1000; name += 1) tries.begin(`user${name}`, '1')
  t.notThrows(() => {
    tries.begin('user0', '1')
    tries.begin('user0', '1')
  })
  tries.begin('user999', '1')
  t.throws(() => tries.begin('user999', '1'))
})

for (const [address, network] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:0DB8:1:2::', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
] as const) {
  test(`the address ${JSON.stringify(address)} is of the network ${network}`, (t) => {
    t.is(networkOf(address), network)
  })
}
