import { randomUUID } from 'node:crypto'
import test from 'ava'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createMetrics, type MetricsOptions } from '../../../src/service/monitoring/metrics.ts'
import { createService } from '../../../src/service/service.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import type { Scope } from '../../support/file-scope.ts'
import { listen, openUrl, recordLog } from '../../support/library.ts'
import { scrape } from '../../support/scrape.ts'
import { addUser, logIn } from '../pages/login-site.ts'

const SECRET_KEY = 'the-key-of-today-0123456789-abcdefghijklmnopqrstuvwxyz'
const OLD_KEY = 'the-key-of-yesterday-0123456789-abcdefghijklmnopqrstuvw'

/** On SQLite every statement ends before the next request is handled. */
const MYSQL = testDatabases.find((name) => name === 'mariadb' || name === 'mysql') ?? 'mysql'

test('each request is timed by method, route and class of status', async (t) => {
  const { url, metricsUrl } = await start(t)
  for (const path of ['/catalog/', '/catalog/', '/', '/health/live', '/health/ready', '/nothing'])
    await visit(`${url}${path}`)
  await visit(`${url}/catalog/`, { method: 'POST' })
  await visit(`${url}/catalog/`, { method: 'HEAD' })
  await visit(`${url}/catalog/`, { headers: { 'X-Forwarded-Host': 'evil.example.net' } })
  const { samples } = await scrape(metricsUrl)
  const counts = Object.fromEntries(
    [...samples].filter(([name]) => name.startsWith('http_request_duration_seconds_count')),
  )
  const of = (method: string, route: string, status: string) =>
    `http_request_duration_seconds_count{method="${method}",route="${route}",status="${status}"}`
  t.deepEqual(counts, {
    [of('GET', 'home', '2xx')]: 3,
    [of('GET', 'redirect', '3xx')]: 1,
    [of('GET', 'health_live', '2xx')]: 1,
    [of('GET', 'health_ready', '2xx')]: 1,
    [of('GET', 'none', '4xx')]: 1,
    [of('POST', 'home', '4xx')]: 1,
    [of('HEAD', 'home', '2xx')]: 1,
  })
})

test('no label has a value that a visitor chooses', async (t) => {
  const { url, metricsUrl } = await start(t)
  await visit(`${url}/catalog/`)
  const before = [...(await scrape(metricsUrl)).samples.keys()].length
  for (let round = 0; round < 20; round += 1) {
    const word = randomUUID()
    await visit(`${url}/${word}`)
    await visit(`${url}/catalog/?${word}`, { headers: { Cookie: `sessionid=${word}`, 'X-Request-Id': word } })
    for (const method of ['PROPFIND', 'MKCOL', 'PURGE']) await visit(`${url}/${word}`, { method })
  }
  const names = [...(await scrape(metricsUrl)).samples.keys()]
  const series = names.filter((name) => name.startsWith('http_request_duration_seconds_count'))
  t.is(series.length, 3) // home, none, and other methods
  t.true(series.some((name) => name.includes('method="other"')))
  // Each of the two is new, with its buckets, sum and count.
  t.is(names.filter((name) => name.startsWith('http_')).length, 3 * 14)
  t.true(names.length - before < 2 * 14 + 20, 'the rest are metrics of Node')
})

test.serial('loads, saves, unreadable rows and the keys that verify rows are counted', async (t) => {
  const { url, metricsUrl, databaseUrl } = await start(t, { DJANGO_SECRET_KEY_FALLBACKS: OLD_KEY })
  const db = openUrl(t, databaseUrl)
  const store = (session_key: string, session_data: string) =>
    db('django_session').insert({ session_key, session_data, expire_date: '2999-01-01 00:00:00' })
  const came = async (name: string) => (await scrape(metricsUrl)).samples.get(name)
  const keyed = (session_key: string) => ({ headers: { Cookie: `sessionid=${session_key}` } })
  t.is(await came('django_session_decodes_total{key="0"}'), 0)
  t.is(await came('django_session_decodes_total{key="1"}'), 0)

  await store('a'.repeat(32), codecOf(OLD_KEY).encode(new Map([['num_visits', '4']])))
  t.regex(await visit(`${url}/catalog/`, keyed('a'.repeat(32))), /5 times/)
  t.is(await came('django_session_decodes_total{key="1"}'), 1)
  t.is(await came('django_session_decodes_total{key="0"}'), 0)
  // It was saved under the new key, so the old key is not needed any more.
  t.regex(await visit(`${url}/catalog/`, keyed('a'.repeat(32))), /6 times/)
  t.is(await came('django_session_decodes_total{key="1"}'), 1)
  t.is(await came('django_session_decodes_total{key="0"}'), 1)
  t.is(await came('django_session_loads_total{outcome="found"}'), 2)
  t.is(await came('django_session_saves_total{outcome="saved"}'), 2)

  await visit(`${url}/catalog/`)
  t.is(await came('django_session_saves_total{outcome="new"}'), 1)
  t.is(await came('django_session_loads_total{outcome="missing"}'), 0) // Without a cookie no row is queried.
  await visit(`${url}/catalog/`, keyed('c'.repeat(32)))
  t.is(await came('django_session_loads_total{outcome="missing"}'), 1)

  await store('d'.repeat(32), codecOf('a key of nobody').encode(new Map()))
  await store('e'.repeat(32), 'broken')
  for (const session_key of ['d', 'd', 'e']) await visit(`${url}/catalog/`, keyed(session_key.repeat(32)))
  t.is(await came('django_session_unreadable_total{reason="signature"}'), 2)
  t.is(await came('django_session_unreadable_total{reason="format"}'), 1)
  t.is(await came('django_session_unreadable_total{reason="payload"}'), 0)
  t.is(await came('django_session_loads_total{outcome="unreadable"}'), 3)
  t.is(await came('django_session_saves_total{outcome="new"}'), 5)

  await db.raw("CREATE TRIGGER full BEFORE UPDATE ON django_session BEGIN SELECT RAISE(ABORT, 'full'); END")
  await visit(`${url}/catalog/`, keyed('a'.repeat(32)))
  t.is(await came('django_session_saves_total{outcome="failed"}'), 1)
  t.is(await came('django_session_saves_total{outcome="saved"}'), 2)
})

test.serial('logins, and the users of sessions that do not verify, are counted', async (t) => {
  const { url, metricsUrl, databaseUrl } = await start(t, { SERVE_LOGIN: 'True' })
  const db = openUrl(t, databaseUrl)
  await addUser(db, { username: 'reader' })
  const counted = async () =>
    [...(await scrape(metricsUrl)).samples]
      .filter(([name, count]) => name.startsWith('django_authentications_total') && count > 0)
      .map(([name, count]) => `${/"(\w+)",outcome="(\w+)"/.exec(name)?.slice(1).join(' ')}: ${count}`)
  const visitor = createVisitor()
  await logIn({ url, visitor }, { password: 'wrong' })
  await logIn({ url, visitor })
  const before = await counted()
  t.deepEqual(
    before.filter((line) => line.startsWith('password')),
    ['password accepted: 1', 'password refused: 1'],
  )
  await visitor.fetch(`${url}/catalog/`)
  await db('auth_user').update({ password: '!' })
  await visitor.fetch(`${url}/catalog/`)
  const now = await counted()
  t.true(now.includes('session current: 1'), now.join())
  t.true(now.includes('session wrong: 1'), now.join())
})

test.serial('conflicts and merges of two services on one session are counted', async (t) => {
  const { url, metricsUrl, databaseUrl } = await start(t, {}, { database: MYSQL })
  const other = await start(t, { DATABASE_URL: databaseUrl })
  const Cookie = (await fetch(`${url}/catalog/`)).headers.get('Set-Cookie')?.split(';')[0] ?? ''
  // Those of the process: both services count what either does.
  const came = async (name: string) => (await scrape(metricsUrl)).samples.get(name) ?? Number.NaN
  let visits = 1
  do {
    await Promise.all([url, other.url].map((one) => visit(`${one}/catalog/`, { headers: { Cookie } })))
    visits += 2
  } while ((await came('django_session_conflicts_total{winner="here"}')) === 0)
  t.is(await came('django_session_conflicts_total{winner="django"}'), 0)
  const merged = await came('django_session_saves_total{outcome="merged"}')
  const saved = await came('django_session_saves_total{outcome="saved"}')
  t.true(merged >= 1)
  t.is(merged + saved, visits - 1)
})

test('a statement that is repeated is counted', async (t) => {
  const { url, metricsUrl, databaseUrl } = await start(t, {}, { database: MYSQL })
  await runSql(
    databaseUrl,
    "CREATE TRIGGER deadlock BEFORE INSERT ON django_session FOR EACH ROW SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
  )
  t.regex(await visit(`${url}/catalog/`), /Back in a moment/)
  t.true(((await scrape(metricsUrl)).samples.get('django_session_retries_total') ?? 0) > 0)
  await runSql(databaseUrl, 'DROP TRIGGER deadlock')
  t.regex(await visit(`${url}/catalog/`), /1 time/)
})

test('a scrape answers while the database is unavailable, and says so', async (t) => {
  const DATABASE_URL = 'mysql://user:password@127.0.0.1:1/library'
  const { url, metricsUrl } = await start(t, { DATABASE_URL }, { isReady: false })
  await visit(`${url}/catalog/`)
  const { samples } = await scrape(metricsUrl)
  t.is(samples.get('database_up'), 0)
  t.false(samples.has('database_clock_skew_seconds'))
  t.is(samples.get('http_request_duration_seconds_count{method="GET",route="none",status="5xx"}'), 1)
})

test('the pool is shown: connections in use, free connections, waiting requests', async (t) => {
  const { url, metricsUrl, databaseUrl } = await start(
    t,
    { DATABASE_POOL_SIZE: '1', DATABASE_TIMEOUT: '60' },
    { database: MYSQL },
  )
  const idle = (await scrape(metricsUrl)).samples
  t.is(idle.get('database_pool_connections{state="used"}'), 0)
  t.is(idle.get('database_pool_connections{state="free"}'), 1)
  t.is(idle.get('database_pool_waiting'), 0)
  t.is(idle.get('database_up'), 1)
  t.true(Math.abs(idle.get('database_clock_skew_seconds') ?? Number.NaN) < 30)
  const other = openUrl(t, databaseUrl)
  await other.raw('LOCK TABLES catalog_book WRITE')
  // The first holds the only connection and waits for the table; the others wait for the connection, to load their sessions.
  const Cookie = `sessionid=${'a'.repeat(32)}`
  const visiting = [1, 2, 3].map(() => visit(`${url}/catalog/`, { headers: { Cookie } }))
  let busy = idle
  while ((busy.get('database_pool_waiting') ?? 0) < 2) busy = (await scrape(metricsUrl)).samples
  t.is(busy.get('database_pool_connections{state="used"}'), 1)
  t.is(busy.get('database_pool_connections{state="free"}'), 0)
  await other.raw('UNLOCK TABLES')
  await Promise.all(visiting)
})

test('names follow the conventions of Prometheus, and each metric has a help text', async (t) => {
  const { url, metricsUrl } = await start(t)
  await visit(`${url}/catalog/`)
  const { samples, help, type } = await scrape(metricsUrl)
  t.deepEqual([...help.keys()], [...type.keys()])
  const ofNode = /^(?:nodejs|process)_/ // prom-client's own
  for (const [name, kind] of type) {
    if (ofNode.test(name)) continue
    t.is(kind === 'counter', name.endsWith('_total'), name)
    t.notRegex(name, /(?:milliseconds|_ms|kilobytes|_count|_sum|_bucket)$/)
    if (/duration|skew/.test(name)) t.regex(name, /_seconds$/)
  }
  for (const sample of samples.keys()) {
    const name = sample.replace(/\{.*/, '')
    t.true(type.has(name) || type.has(name.replace(/_(?:bucket|sum|count)$/, '')), sample)
  }
  for (const name of [
    'process_cpu_seconds_total',
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_heap_size_used_bytes',
  ])
    t.true(samples.has(name), name)
  t.is(samples.get(`koa_django_sessions_build_info{version="1.2.3",node="${process.version}"}`), 1)
})

test('the database is queried once per interval, whatever the number of scrapes', async (t) => {
  let asked = 0
  const clockSkew = async () => {
    asked += 1
    return asked
  }
  const rarely = await serve(t, { clockSkew })
  for (const _ of [1, 2, 3]) t.is((await scrape(rarely)).samples.get('database_clock_skew_seconds'), 1)
  const always = await serve(t, { clockSkew, probeInterval: 0 })
  await scrape(always)
  t.true(((await scrape(always)).samples.get('database_clock_skew_seconds') ?? 0) > 2)
})

test('a scrape does not wait for a database that does not answer, and there is no second query', async (t) => {
  let asked = 0
  const clockSkew = () => {
    asked += 1
    return new Promise<number>(() => {})
  }
  const url = await serve(t, { clockSkew, probeInterval: 0, probeTimeout: 1 })
  for (const _ of [1, 2, 3]) t.is((await scrape(url)).samples.get('database_up'), 0)
  t.is(asked, 1)
})

test('the skew is absent once the database is unavailable', async (t) => {
  let clock = () => Promise.resolve(3)
  const clockSkew = () => clock()
  const url = await serve(t, { clockSkew, probeInterval: 0 })
  t.is((await scrape(url)).samples.get('database_clock_skew_seconds'), 3)
  clock = () => Promise.reject(new Error('away'))
  t.false((await scrape(url)).samples.has('database_clock_skew_seconds'))
  clock = () => Promise.resolve(3)
  t.is((await scrape(url)).samples.get('database_clock_skew_seconds'), 3)
})

test('only GET and HEAD of /metrics are answered', async (t) => {
  const url = await serve(t)
  t.is((await fetch(`${url}/`)).status, 404)
  t.is((await fetch(`${url}/catalog/`)).status, 404)
  t.is((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status, 404)
  const head = await fetch(`${url}/metrics`, { method: 'HEAD' })
  t.is(head.status, 200)
  t.is(await head.text(), '')
})

test('the metrics are not on the port of the pages', async (t) => {
  const { url } = await start(t)
  t.is((await fetch(`${url}/metrics`)).status, 404)
})

test('METRICS=False turns metrics off', async (t) => {
  const { url, metricsUrl } = await start(t, { METRICS: 'False' })
  t.is(metricsUrl, '')
  t.regex(await visit(`${url}/catalog/`), /1 time/)
})

/** Starts the whole service on a database of the test's own. */
async function start(
  t: Scope,
  env: NodeJS.ProcessEnv = {},
  { isReady = true, database = 'sqlite' }: { isReady?: boolean; database?: TestDatabaseName } = {},
): Promise<{ url: string; metricsUrl: string; databaseUrl: string }> {
  const databaseUrl = env.DATABASE_URL ?? (await createTestDatabase(t, database, { tables: 'library' })).url
  const settings = readSettings(
    { DATABASE_URL: databaseUrl, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: '5.2', ...env },
    { cwd: '/nowhere' },
  )
  const service = await createService(settings, { log: recordLog(), version: '1.2.3' })
  t.teardown(() => service.close())
  if (isReady) await service.ready
  return {
    url: await listen(t, service.listener),
    metricsUrl: service.metricsListener === null ? '' : await listen(t, service.metricsListener),
    databaseUrl,
  }
}

async function serve(t: Scope, options: Partial<MetricsOptions> = {}): Promise<string> {
  const { listener } = createMetrics({
    version: '1.2.3',
    keyCount: 1,
    pool: () => ({ used: 0, free: 0, waiting: 0 }),
    clockSkew: () => Promise.resolve(0),
    log: recordLog(),
    ...options,
  })
  return listen(t, listener)
}

/** Returns the page after the service has counted the request. */
async function visit(url: string, init: RequestInit = {}): Promise<string> {
  const page = await (await fetch(url, { redirect: 'manual', ...init })).text()
  await new Promise(setImmediate) // The server's 'close' comes after the client's last byte.
  return page
}

function codecOf(secretKey: string) {
  return createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile('5.2'),
    now: () => new Date(),
  })
}
