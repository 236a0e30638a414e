import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { createMemcachedCache } from '../../src/caches/memcached/memcached.ts'
import { createRedisCache } from '../../src/caches/redis/redis.ts'
import { cacheSettings } from '../engines/cache-under-test.ts'
import { createVisitor, type Visitor } from '../interop/visitor.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import { type Load, startLoad, summary, type Visit, visitHome } from '../support/load.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'
import { assertNothingLost, SECRET_KEY, startReadyService } from './site.ts'

const ok = (visit: Visit) => visit.status === 200
const unavailable = (visit: Visit) => visit.status === 503

const caches = {
  Redis: { start: startRedis, backend: 'redis.RedisCache', open: createRedisCache },
  memcached: { start: startMemcached, backend: 'memcached.PyMemcacheCache', open: createMemcachedCache },
}
const [database = 'sqlite'] = testDatabases
const version = djangoVersions.includes('5.2') ? '5.2' : (djangoVersions.at(-1) ?? '')

const faults: Record<string, (server: CacheServer) => Promise<() => unknown>> = {
  async 'is killed and restarted'(server) {
    await server.kill()
    return () => server.restart()
  },
  async 'is frozen'(server) {
    server.freeze()
    return () => server.thaw()
  },
}

for (const [name, { start, backend, open }] of Object.entries(caches)) {
  for (const [what, make] of Object.entries(faults)) {
    if (name === 'memcached' && what === 'is frozen') continue // the same as a frozen Redis
    test.serial(
      `cached_db: no visit fails or is lost while ${name} ${what} under load, and Django agrees`,
      async (t) => {
        t.timeout(110_000)
        const server = await start()
        t.teardown(() => server.stop())
        const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
        const settings = environment('cached_db', backend, server)
        const django = await startDjango(t, { version, secretKey: SECRET_KEY, databaseUrl, settings })
        const service = await startReadyService(t, databaseUrl, { ...settings, DATABASE_TIMEOUT: '10' })
        const { first, load } = await startVisitors(service.url)
        await load.more(100, ok)

        // Django keeps a copy of each session that it has read; a cache that was only frozen still has it.
        const visitor = createVisitor()
        t.is(await visitor.visit(service.url), 1)
        t.is(await visitor.visit(django.url), 2)
        const mend = await make(server)
        await load.more(100, ok)
        t.is(await visitor.visit(service.url), 3)
        const leaver = createVisitor()
        t.is(await leaver.visit(service.url), 1)
        await mend()
        await load.more(100, ok)
        const visits = [first, ...(await load.stop())]
        t.log(`${summary(visits)}; the longest took ${longest(visits)} ms`)
        t.is(summary(visits.filter((visit) => !ok(visit))), '', 'no visit fails')
        await assertNothingLost(t, databaseUrl, visits)

        const cache = open(cacheSettings(backend, server.location))
        t.teardown(() => cache.close())
        const copyOf = ({ cookie }: Visitor) => `django.contrib.sessions.cached_db${cookie()}`
        // Wait until the service removes copies again: current ones, and those that it could not remove meanwhile.
        const probe = createVisitor()
        await probe.visit(service.url)
        do {
          await cache.add(copyOf(probe), new Map([['num_visits', '1']]), 60)
          await probe.visit(service.url)
          await delay(50)
        } while ((await cache.get(copyOf(probe))) !== null || (await cache.get(copyOf(visitor))) !== null)
        t.is(await visitor.visit(django.url), 4)
        t.is(await visitor.visit(service.url), 5)
        t.is(await visitor.visit(django.url), 6)
        t.is(await leaver.visit(django.url), 2)
        const warnings = service.log().filter(({ event }) => event === 'session.cache_failed')
        t.true(warnings.length > 0 && warnings.length < 5, 'the outage is logged, but not at each request')
        t.false(JSON.stringify(warnings).includes(visitor.cookie() ?? ''))
        t.is(await service.stop(), 0)
      },
    )

    test.serial(
      `cache engine: while ${name} ${what} under load, each answered visit is stored, each other is a 503`,
      async (t) => {
        t.timeout(110_000)
        const server = await start()
        t.teardown(() => server.stop())
        const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
        const service = await startReadyService(t, databaseUrl, environment('cache', backend, server))
        const { first, load } = await startVisitors(service.url)
        await load.more(100, ok)
        const mend = await make(server)
        await load.more(32, unavailable)
        await mend()
        await load.more(200, ok)
        const visits = [first, ...(await load.stop())]
        t.log(`${summary(visits)}; the longest took ${longest(visits)} ms`)
        t.is(summary(visits.filter((visit) => !ok(visit) && !unavailable(visit))), '')
        t.is(visits.filter((visit) => unavailable(visit) && !(Number(visit.retryAfter) > 0)).length, 0)
        const cache = open(cacheSettings(backend, server.location))
        t.teardown(() => cache.close())
        for (const [sessionKey, all] of Map.groupBy(visits, (visit) => visit.sessionKey)) {
          if (sessionKey === null) continue
          const shown = all.filter(ok).map((visit) => visit.shown ?? Number.NaN)
          // Sessions in a killed cache are lost: their visitors get new ones, under other keys.
          const stored = (await cache.get(`django.contrib.sessions.cache${sessionKey}`))?.data.get(
            'num_visits',
          )
          t.is(new Set(shown).size, shown.length, 'no number is shown twice')
          if (stored !== undefined) t.true(Math.max(0, ...shown) <= Number(stored))
          else t.is(what, 'is killed and restarted')
        }
        t.is(await service.stop(), 0)
      },
    )
  }
}

function environment(engine: string, backend: string, { location }: CacheServer): Record<string, string> {
  return {
    SESSION_ENGINE: `django.contrib.sessions.backends.${engine}`,
    CACHES: JSON.stringify({
      default: { BACKEND: `django.core.cache.backends.${backend}`, LOCATION: location },
    }),
  }
}

/** 8 visitors with separate sessions, and 8 that share one, created by the first visit. */
async function startVisitors(url: string): Promise<{ first: Visit; load: Load }> {
  const first = await visitHome(url)
  const hot = Array.from({ length: 8 }, () => first.sessionKey ?? undefined)
  const own = Array.from({ length: 8 }, () => undefined)
  return { first, load: startLoad(url, { sessionKeys: [...hot, ...own] }) }
}

function longest(visits: readonly Visit[]): number {
  return Math.round(Math.max(...visits.map(({ startedAt, endedAt }) => endedAt - startedAt)))
}
