import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import test, { type ExecutionContext } from 'ava'
import { createSessions } from '../../src/session/handle.ts'
import type { TraceMessage } from '../../src/session/trace-message.ts'
import { traced, tracedSync, traces } from '../../src/session/tracing.ts'
import { adapters, ask, siteOf } from '../adapters/sites.ts'
import { addUser, hashed } from '../auth/users.ts'
import { openDb } from '../engines/db-under-test.ts'
import { testDatabases } from '../support/databases.ts'
import { rules } from './conformance/engine-under-test.ts'

// Serial: the channels are those of the whole process.

const NAMES = ['load', 'decode', 'save', 'conflict', 'authenticate'] as const

/** The last event of each trace, in order: its name and its message. */
function listen(t: ExecutionContext): [string, TraceMessage][] {
  const ended: [string, TraceMessage][] = []
  for (const name of NAMES) {
    const last = channel(`tracing:koa-django-sessions:${name}:${name === 'decode' ? 'end' : 'asyncEnd'}`)
    const onEnd = (message: unknown) => void ended.push([name, message as TraceMessage])
    last.subscribe(onEnd)
    t.teardown(() => last.unsubscribe(onEnd))
  }
  return ended
}

const shown = (ended: readonly [string, TraceMessage][]) =>
  ended.map(([name, { operation, result }]) => [name, operation, result])

const DATA = 'a value that only the visitor may see'
const DECODED = ['decode', undefined, { format: 'signed', keyIndex: 0 }]

for (const name of testDatabases) {
  test.serial(`on ${name}, the work of a site is traced without its secrets`, async (t) => {
    const db = await openDb(t, name, { tables: 'library' })
    const password = hashed('secret')
    await addUser(db, { username: 'ann', password })
    const site = siteOf(db)
    const ended = listen(t)
    const user = await site.auth.authenticate({ username: 'ann', password: 'secret' })
    await site.auth.authenticate({ username: 'ann', password: 'another' })
    if (user === null) return t.fail('the password is right')
    const session = await site.open(undefined).session.load()
    session.set('cart', DATA)
    await session.save()
    const firstKey = session.sessionKey ?? ''
    await site.auth.login(session, user)
    await session.save()
    const key = session.sessionKey ?? ''
    t.not(key, firstKey)
    const { session: again } = await site.authenticate(`sessionid=${key}`)
    await site.auth.identify(again, async () => null) // as a watch does: untraced
    again.set('cart', `${DATA}!`)
    await again.save()
    await site.open(`sessionid=${firstKey}`).session.load()
    await again.flush()

    t.deepEqual(shown(ended), [
      ['authenticate', 'password', 'accepted'],
      ['authenticate', 'password', 'refused'],
      ['save', 'create', 'saved'],
      ['save', 'move', 'saved'],
      ['save', 'update', 'saved'],
      DECODED,
      ['load', undefined, 'found'],
      ['authenticate', 'session', 'current'],
      ['save', 'update', 'saved'],
      ['load', undefined, 'missing'],
      ['save', 'delete', 'deleted'],
    ])
    const text = JSON.stringify(ended)
    t.true(text.includes('"keyHash":"'))
    for (const secret of [key, firstKey, DATA, 'ann', 'secret', password]) t.false(text.includes(secret))
    const hashes = ended.map(([, { keyHash }]) => keyHash)
    t.regex(hashes[3] ?? '', /^[0-9a-f]{12}$/)
    t.regex(hashes[4] ?? '', /^[0-9a-f]{12}$/)
    const [none, first, second] = [undefined, hashes[3], hashes[4]]
    t.not(first, second)
    t.deepEqual(hashes, [none, none, none, first, second, none, second, none, second, first, second])
  })
}

for (const [at, [name, serve]] of Object.entries(adapters).entries()) {
  const database = testDatabases[at % testDatabases.length] ?? 'sqlite'
  test.serial(`under ${name} on ${database}, requests are traced`, async (t) => {
    const db = await openDb(t, database, { tables: 'library' })
    await addUser(db, { username: 'ann', password: hashed('secret') })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      if ((await django.user()).isAuthenticated) {
        const session = await django.session.load()
        session.set('visits', 1)
        return
      }
      const ann = await django.authenticate({ username: 'ann', password: 'secret' })
      if (ann !== null) await django.login(ann)
    })
    const ended = listen(t)
    const { setCookie } = await ask(url)
    const cookie = setCookie.find((one) => one.startsWith('sessionid='))?.split(';')[0]
    t.deepEqual(shown(ended.splice(0)), [
      ['authenticate', 'session', 'nobody'],
      ['authenticate', 'password', 'accepted'],
      ['save', 'move', 'saved'],
      ['save', 'update', 'saved'],
    ])
    await ask(url, cookie)
    t.deepEqual(shown(ended), [
      DECODED,
      ['load', undefined, 'found'],
      ['authenticate', 'session', 'current'],
      ['save', 'update', 'saved'],
    ])
  })
}

for (const name of testDatabases) {
  test.serial(`sessions without a site are traced, and so is a conflict, on ${name}`, async (t) => {
    const { engine } = await openDb(t, name)
    // As of two processes: each has its own queue of commits.
    const [ours, theirs] = [engine, engine].map((one) => createSessions({ engine: one, rules }))
    const first = await ours?.open(undefined).load()
    first?.set('a', 1)
    await first?.save()
    const key = first?.sessionKey ?? ''
    const [one, other] = [await ours?.open(key).load(), await theirs?.open(key).load()]
    one?.set('b', 1)
    await one?.save()
    const ended = listen(t)
    other?.set('c', 1)
    await other?.save()
    t.deepEqual(shown(ended), [
      ['load', undefined, 'found'],
      ['conflict', undefined, 'here'],
      ['save', 'update', 'merged'],
    ])
    t.is(new Set(ended.map(([, { keyHash }]) => keyHash)).size, 1)
  })
}

test.serial('a session that cannot be read is a failed load', async (t) => {
  const db = await openDb(t, 'sqlite')
  const key = 'abcdefgh0123456789abcdefgh012345'
  await db.engine.create(key, { data: new Map([['a', '1']]), expireDate: new Date('2999-01-01') })
  const ended = listen(t)
  await siteOf(db, { secretKeys: ['another key'], events: { unreadable() {} } })
    .open(`sessionid=${key}`)
    .session.load()
  const error = { name: 'UnreadableSession', code: 'ERR_SESSION_UNREADABLE', reason: 'signature' }
  t.deepEqual(
    ended.map(([name, message]) => [name, message.error, message.result]),
    [
      ['decode', error, undefined],
      ['load', error, undefined],
    ],
  )
})

test.serial('the events of a trace come in the order of Node, with one message', async (t) => {
  const heard: [string, unknown][] = []
  const { start, end, asyncStart, asyncEnd, error: failed } = traces.load
  for (const [name, one] of Object.entries({ start, end, asyncStart, asyncEnd, failed })) {
    const onEvent = (message: unknown) => void heard.push([name, message])
    one.subscribe(onEvent)
    t.teardown(() => one.unsubscribe(onEvent))
  }
  const message: TraceMessage = {}
  const found = await traced(
    traces.load,
    () => message,
    async () => 'secret',
    () => 'found',
  )
  t.is(found, 'secret')
  t.deepEqual(
    heard.splice(0).map(([name]) => name),
    ['start', 'end', 'asyncStart', 'asyncEnd'],
  )
  t.deepEqual(message, { result: 'found' })
  const error = Object.assign(new RangeError('of the key abc'), { code: 'ERR_OF_A_TEST' })
  const failure: TraceMessage = {}
  const rejected = traced(
    traces.load,
    () => failure,
    () => Promise.reject(error),
    () => 'never',
  )
  t.is(await t.throwsAsync(rejected), error)
  t.deepEqual(
    heard.map(([name]) => name),
    ['start', 'end', 'failed', 'asyncStart', 'asyncEnd'],
  )
  t.true(heard.every(([, one]) => one === failure))
  t.deepEqual(failure, { error: { name: 'RangeError', code: 'ERR_OF_A_TEST' } })
})

test.serial('what synchronous work throws reaches the caller as it was', (t) => {
  const ended = listen(t)
  const error = Object.assign(new RangeError('of the text abc'), { code: 'ERR_OF_A_TEST' })
  const fail = () => {
    throw error
  }
  const thrown = t.throws(() =>
    tracedSync(
      traces.decode,
      () => ({ size: 3 }),
      fail,
      () => 'never',
    ),
  )
  t.is(thrown, error)
  t.deepEqual(ended, [['decode', { size: 3, error: { name: 'RangeError', code: 'ERR_OF_A_TEST' } }]])
})

test.serial('without a subscriber the work itself runs, and no message is made', (t) => {
  const promise = Promise.resolve(1)
  const never = () => {
    throw new Error('a message was made')
  }
  t.is(
    traced(traces.load, never, () => promise, never),
    promise,
  )
  t.is(
    tracedSync(traces.decode, never, () => 1, never),
    1,
  )
})

test.serial('a store that is bound to a channel reaches the work, so that spans can be nested', async (t) => {
  const db = await openDb(t, 'sqlite')
  const key = 'abcdefgh0123456789abcdefgh012345'
  await db.engine.create(key, { data: new Map([['a', '1']]), expireDate: new Date('2999-01-01') })
  const spans = new AsyncLocalStorage<unknown>()
  const { start } = traces.load
  start.bindStore(spans, () => 'the load')
  t.teardown(() => start.unbindStore(spans))
  const parents: unknown[] = []
  const onDecode = () => void parents.push(spans.getStore())
  traces.decode.start.subscribe(onDecode)
  t.teardown(() => traces.decode.start.unsubscribe(onDecode))
  await siteOf(db).open(`sessionid=${key}`).session.load()
  t.deepEqual(parents, ['the load'])
})
