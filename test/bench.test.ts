/**
 * The short form of the benchmark: everything that it compares still starts, still does the measured work, and
 * answers for three seconds. The figures are meaningless, because other tests run at the same time.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { chartFile } from '../bench/figures.ts'
import { judge } from '../bench/goals.ts'
import { type Measurement, openStage } from '../bench/measure.ts'
import { installPeers } from '../bench/packages.ts'
import { judgeProxies, measureProxies, proxiesSection, summarizeProxies } from '../bench/proxies.ts'
import { createReport } from '../bench/report.ts'
import { chapterOf, SCENARIOS, type Scenario, targetsOf } from '../bench/scenarios.ts'
import { summarize } from '../bench/summary.ts'
import { BUNDLE, TARGETS } from '../bench/targets.ts'
import { request } from '../bench/visit.ts'
import { isMet, measureWatching, watchingPage } from '../bench/watching.ts'
import { bundleService } from './support/bundle.ts'
import { testDatabases } from './support/databases.ts'
import { execute, findExecutable } from './support/executables.ts'
import { fileScope } from './support/file-scope.ts'
import { projectFolder } from './support/places.ts'
import { startRedis } from './support/redis.ts'

const file = fileScope(test)
const hot = SCENARIOS.find(({ name }) => name === 'hot')
if (hot === undefined) throw new TypeError('there is no such scenario')

test.before('the compared packages are installed, and the service is bundled', async (t) => {
  t.timeout(120_000)
  await installPeers((text) => t.log(text))
  await bundleService(BUNDLE)
})

const redis = findExecutable(['redis-server']) === null ? null : startRedis()
const stage = Promise.resolve(redis).then((server) => {
  file.teardown(() => server?.stop())
  const servers = server === null ? {} : { redis: { url: server.location, pid: server.pid } }
  return openStage(file, { servers, warmsUp: false })
})

/** One scenario for each kind of target on each database. */
const cases: readonly [where: string, scenario: Scenario, seconds: number][] = [
  ['mariadb', hot, 3],
  ['postgresql', { ...hot, database: 'postgresql' }, 1],
  ['sqlite', { ...hot, database: 'sqlite' }, 1],
  ['mariadb with a user', { ...hot, visitors: 'logged-in' }, 1],
  ['postgresql with a user', { ...hot, database: 'postgresql', visitors: 'logged-in' }, 1],
  ...(redis === null
    ? []
    : (['cached_db', 'cache'] as const).map(
        (engine) => [`mariadb with ${engine}`, { ...hot, engine }, 1] as [string, Scenario, number],
      )),
]

for (const [where, scenario, seconds] of cases.filter(([, one]) => testDatabases.includes(one.database))) {
  for (const target of targetsOf(scenario, TARGETS)) {
    test.serial(
      `${target.name} on ${where} shows correct counts, keeps a correct session and answers`,
      async (t) => {
        t.timeout(60_000)
        const measured = await (await stage).measure(target, scenario, { round: 1, seconds })

        t.is(measured.errors, 0)
        t.true(measured.requests > 0)
        t.true(measured.cpu > 0 && measured.memory > 0)
        if (where === 'mariadb') t.true(measured.statements > 0)
        if (target.kind === 'ours' && scenario.visitors === 'hot') t.is(measured.lost, 0, 'visits')
        const startUps = [{ title: 'MariaDB', cpu: 0.4, wall: 0.3 }]
        const options = { targets: TARGETS, startUps, proxies: [], rounds: 1, seconds: 3, isFull: false }
        const { markdown, charts, figures } = createReport({ measurements: [measured], ...options })
        t.true(markdown.includes(`| ${target.name} | ${measured.cpu.toFixed(2)} |`))
        t.regex(charts.get(chartFile('cpu', chapterOf(hot))) ?? '', /^<svg .*<rect .*<\/svg>\n$/s)
        t.true(figures.includes(`![](../bench/${chartFile('requestsPerSecond', chapterOf(hot))})`))
      },
    )
  }
}

if (findExecutable(['nginx']) !== null) {
  test.serial('each proxy passes the page on', async (t) => {
    t.timeout(110_000)
    const options = { rounds: 1, seconds: 1 }
    const measured = await measureProxies(file, { ...options, warmUp: 20 })
    t.is(measured.length, 12)
    for (const { proxy, requestsPerSecond, errors } of measured) {
      t.is(errors, 0, proxy)
      t.true(requestsPerSecond > 0, proxy)
    }
    // Linux counts hundredths of a second: on a busy machine, a proxy may use less with one connection.
    for (const [proxy, rows] of Map.groupBy(measured, (row) => row.proxy))
      t.true(
        rows.some(({ cpu }) => cpu > 0),
        proxy,
      )
    const summary = summarizeProxies(measured)
    t.true(proxiesSection(summary).includes('| koa-django-sessions | '))
    t.is(judgeProxies(summary).length, 4)
  })
}

for (const database of (['mariadb', 'postgresql'] as const).filter((one) => testDatabases.includes(one))) {
  test.serial(
    `watched sessions on ${database}: each logout of Django is noticed, by one statement a second`,
    async (t) => {
      t.timeout(110_000)
      const measured = await measureWatching(file, {
        ...{ database, sessions: 1200, logouts: 12 },
        say: (text) => t.log(text),
      })
      t.is(measured.latencies.length, 12)
      t.true(measured.statements > 0)
      t.true(measured.statements <= measured.seconds + 1, `${measured.statements} in ${measured.seconds} s`)
      t.is(isMet({ ...measured, latencies: [1500] }), true)
      t.is(isMet({ ...measured, latencies: [1501] }), false)
      t.is(isMet({ ...measured, latencies: [1], statements: measured.seconds + 2 }), false)
      t.regex(watchingPage([measured]), /1,200 watched sessions .* logs 12\n/)
    },
  )
}

test('the measured figures of 10,000 watched sessions are within the goals, on both databases', (t) => {
  const page = readFileSync(new URL('../bench/watch.md', import.meta.url), 'utf8')
  t.regex(page, /: 10,000 watched sessions /)
  t.regex(page, /^\| {2}\| MariaDB \| PostgreSQL \|$/m)
  t.regex(page, /^\| the goal: .* \| met \| met \|$/m)
})

test('a goal is judged by the median of the rounds, and its range is named', (t) => {
  const measured = (target: string, cpus: readonly number[]): Measurement[] =>
    cpus.map((cpu, at) => ({
      scenario: 'postgresql-1',
      target,
      round: at + 1,
      requests: 100,
      requestsPerSecond: 100,
      p50: 1,
      p99: 1,
      cpu,
      databaseCpu: 1,
      statements: 3,
      memory: 100,
      errors: 0,
      lost: null,
    }))
  const ours = measured('koa-django-sessions', [0.9, 0.8, 1.3])
  const summary = summarize([...ours, ...measured('express, connect-pg-simple', [1, 1, 1])])
  const verdict = judge(summary, TARGETS).find(({ what }) => what.startsWith('CPU'))
  t.like(verdict, { wanted: 'at most 1', found: '0.90 (0.80 to 1.30)', holds: true })
})

test('a page of a target is requested on a connection of its own, which no server closes meanwhile', async (t) => {
  const server = createServer(({ headers }, response) => response.end(headers.connection))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  t.is(await (await request(port)).text(), 'close')
  t.is(await (await request(port, { path: '/login/1', cookie: 'a=b' })).text(), 'close')
})

test('the programs of the benchmark type-check', async (t) => {
  const tsc = [`${projectFolder}/node_modules/typescript/bin/tsc`, '-p', 'bench/targets/tsconfig.json']
  await t.notThrowsAsync(execute(process.execPath, tsc, { cwd: projectFolder }))
})
