import test, { type ExecutionContext } from 'ava'
import type { CacheInvalidationOptions } from '../../src/engines/cache-invalidation.ts'
import { createCachedDbEngine } from '../../src/engines/cached-db.ts'
import { ConflictError, type SessionEngine, type StoredSession } from '../../src/session/engine.ts'
import type { CacheFailure } from '../../src/session/events.ts'
import { fileScope } from '../support/file-scope.ts'
import { until } from '../support/until.ts'
import { type DbUnderTest, openDb } from './db-under-test.ts'
import { openRedisUnderTest, type RedisUnderTest } from './redis-under-test.ts'

const file = fileScope(test)
let site: DbUnderTest
let redis: RedisUnderTest

test.before(async () => {
  redis = await openRedisUnderTest(file)
  site = await openDb(file, 'sqlite')
})
test.afterEach.always(() => redis.thaw())

const KEY = 'abcdefgh0123456789abcdefgh012345'
const COPY = `:1:django.contrib.sessions.cached_db${KEY}`
/** Milliseconds: short, so that the tests are. */
const times = { timeout: 200, settleTime: 150, retryInterval: 20 }

test.serial('a copy in the cache is never read: the row is the truth', async (t) => {
  const { engine } = await start(t)
  await redis.set(COPY, 'whatever Django has there')
  t.deepEqual([...((await engine.load(KEY))?.data ?? [])], [['a', '1']])
  await site.empty()
  t.is(await engine.load(KEY), null)
  t.false(await engine.exists(KEY))
  t.is(await redis.get(COPY), 'whatever Django has there')
})

test.serial(
  'load hands the client to the engine behind the cache, which compares it with the stored one',
  async (t) => {
    const { engine } = await start(t)
    const asked: unknown[] = []
    const watched = createCachedDbEngine({
      engine: {
        ...engine,
        async load(_sessionKey, client) {
          asked.push(client)
          return null
        },
      },
      cache: redis.cache,
    })
    t.teardown(() => watched.close())
    const client = { userAgent: 'Firefox', ip: '192.0.2.1' }
    await watched.load(KEY, client)
    t.deepEqual(asked, [client])
  },
)

for (const [action, write] of Object.entries({
  'an update': (engine: SessionEngine, { data, expireDate, revision }: StoredSession) =>
    engine.update(KEY, { data: new Map([...data, ['b', '2']]), expireDate }, revision),
  'a delete': (engine: SessionEngine, { revision }: StoredSession) => engine.delete(KEY, revision),
  'a delete without a revision': (engine: SessionEngine) => engine.delete(KEY),
})) {
  test.serial(`the copy is gone when ${action} answers`, async (t) => {
    const { engine, stored } = await start(t)
    await redis.set(COPY, 'old')
    await write(engine, stored)
    t.is(await redis.get(COPY), null)
  })

  test.serial(
    `the copy is removed before ${action}, so that none is left if the process dies after it`,
    async (t) => {
      const seen: (string | null)[] = []
      const { engine, stored } = await start(t, {
        async afterWrite() {
          seen.push(await redis.get(COPY))
          throw new Error('the process dies here')
        },
      })
      await redis.set(COPY, 'old')
      await t.throwsAsync(async () => write(engine, stored), { message: /dies/ })
      t.deepEqual(seen, [null])
    },
  )

  test.serial(`a copy that Django makes between the first removal and ${action} is gone`, async (t) => {
    const { engine, stored } = await start(t, { beforeWrite: () => redis.set(COPY, 'old') })
    await write(engine, stored)
    t.is(await redis.get(COPY), null)
  })

  test.serial(
    `a copy that Django read before ${action} and sets after it is gone a moment later`,
    async (t) => {
      const { engine, stored } = await start(t)
      await write(engine, stored)
      await redis.set(COPY, 'old')
      await redis.until(COPY, null)
      t.pass()
    },
  )

  test.serial(
    `a cache that is frozen does not fail ${action}, and the copy is gone when it is back`,
    async (t) => {
      const { engine, stored, failures } = await start(t)
      await redis.set(COPY, 'old')
      redis.freeze()
      await write(engine, stored)
      t.deepEqual({ ...failures[0], error: null }, { error: null, owed: 1, givenUp: 0 })
      redis.thaw()
      await redis.until(COPY, null)
      t.pass()
    },
  )

  test.serial(
    `a cache that refuses connections does not fail ${action}, and is tried until it is back`,
    async (t) => {
      const { engine, stored, failures } = await start(t)
      await redis.kill()
      await write(engine, stored)
      await until('the removal was tried again', () => failures.length > 1)
      const before = redis.removed.length
      await redis.restart()
      await until('the copy was removed', () => redis.removed.slice(before).includes(COPY))
      t.pass()
    },
  )
}

test.serial('no request waits for a cache that is known to be unreachable', async (t) => {
  const { engine } = await start(t, {}, { timeout: 1000 })
  redis.freeze()
  const startedAt = performance.now()
  await engine.delete('first-key')
  const failedAt = performance.now()
  for (let more = 0; more < 10; more += 1) await engine.delete('another-key')
  t.true(failedAt - startedAt >= 999)
  t.true(performance.now() - failedAt < 1000)
})

test.serial('a write whose outcome is unknown leaves no copy', async (t) => {
  const { engine, stored } = await start(t, {
    async afterWrite() {
      await redis.set(COPY, 'old')
      throw Object.assign(new Error('the answer is lost'), { code: 'ECONNRESET' })
    },
  })
  await t.throwsAsync(engine.update(KEY, stored, stored.revision), { code: 'ECONNRESET' })
  t.is(await redis.get(COPY), null)
})

test.serial(
  'a session that another request has saved meanwhile is a conflict, as without a cache',
  async (t) => {
    const { engine, stored } = await start(t)
    const theirs = { ...stored, data: new Map([['theirs', '1']]) }
    await site.engine.update(KEY, theirs, stored.revision)
    await t.throwsAsync(engine.update(KEY, stored, stored.revision), { instanceOf: ConflictError })
    t.deepEqual([...((await engine.load(KEY))?.data ?? [])], [['theirs', '1']])
  },
)

test.serial('two of our writers and a reader of Django, in any order, leave no copy', async (t) => {
  const [one, other] = [await start(t), await start(t, {}, { keep: true })]
  const finished = new AbortController()
  const django = (async () => {
    while (!finished.signal.aborted) {
      if ((await redis.get(COPY)) !== null) continue
      const row = await site.engine.load(KEY)
      if (row !== null) await redis.set(COPY, row.revision)
    }
  })()
  const count = async ({ engine }: typeof one) => {
    for (let saves = 0; saves < 25; ) {
      const found = await engine.load(KEY)
      if (found === null) throw new Error('the session is gone')
      const data = new Map(found.data).set('count', String(Number(found.data.get('count') ?? 0) + 1))
      const saved = await engine.update(KEY, { ...found, data }, found.revision).catch((error) => {
        if (!(error instanceof ConflictError)) throw error
      })
      if (saved !== undefined) saves += 1
    }
  }
  await Promise.all([count(one), count(other)])
  finished.abort()
  await django
  const row = await site.engine.load(KEY)
  t.is(row?.data.get('count'), '50')
  // All writers and readers have ended: only removals are left to come.
  await until('no copy is left but one that equals the row', async () => {
    const copy = await redis.get(COPY)
    return copy === null || copy === row?.revision
  })
})

interface Hooks {
  beforeWrite?(): Promise<unknown>
  afterWrite?(): Promise<unknown>
}

/** The engine on a row of its own, as a process of its own has it. */
async function start(
  t: ExecutionContext,
  { beforeWrite = async () => {}, afterWrite = async () => {} }: Hooks = {},
  { keep = false, ...options }: { keep?: boolean } & Partial<CacheInvalidationOptions> = {},
) {
  if (!keep) {
    await site.empty()
    await redis.empty()
    const expireDate = new Date(Date.now() + 3_600_000)
    site.clock.now = new Date()
    await site.engine.create(KEY, { data: new Map([['a', '1']]), expireDate })
  }
  const stored = await site.engine.load(KEY)
  if (stored === null) throw new Error('there is no row')
  const failures: CacheFailure[] = []
  const during = async <R>(write: () => Promise<R>): Promise<R> => {
    await beforeWrite()
    const written = await write()
    await afterWrite()
    return written
  }
  const engine = createCachedDbEngine({
    engine: {
      ...site.engine,
      update: (...parameters) => during(() => site.engine.update(...parameters)),
      delete: (...parameters) => during(() => site.engine.delete(...parameters)),
    },
    cache: redis.cache,
    ...times,
    ...options,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  t.teardown(() => engine.close())
  return { engine, stored, failures }
}
