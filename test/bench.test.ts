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
import { runLoad } from '../bench/load.ts'
import { type Measurement, openStage } from '../bench/measure.ts'
import { installPeers } from '../bench/packages.ts'
import { judgeProxies, measureProxies, proxiesSection } from '../bench/proxies.ts'
import { createReport } from '../bench/report.ts'
import { randomOrders } from '../bench/rounds.ts'
import { chapterOf, SCENARIOS, type Scenario, targetsOf } from '../bench/scenarios.ts'
import { type Measure, summarize } from '../bench/summary.ts'
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
        t.true(measured.times.length > 0)
        t.true(measured.cpu > 0 && measured.memory > 0)
        if (where === 'mariadb') t.true(measured.statements > 0)
        if (target.kind === 'ours' && scenario.visitors === 'hot') t.is(measured.lost, 0, 'visits')
        const startUps = [{ title: 'MariaDB', cpu: 0.4, wall: 0.3 }]
        const options = { targets: TARGETS, startUps, rounds: 1, seconds: 3, isFull: false }
        const { markdown, charts, figures } = createReport({ measurements: [measured], ...options })
        const cpu = measured.cpu / measured.times.length
        t.true(markdown.includes(`| ${target.name} | ${cpu.toFixed(2)} |`))
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
    for (const { target, times, errors } of measured) {
      t.is(errors, 0, target)
      t.true(times.length > 0, target)
    }
    // Linux counts hundredths of a second: on a busy machine, a proxy may use less with one connection.
    for (const [target, rows] of Map.groupBy(measured, (row) => row.target))
      t.true(
        rows.some(({ cpu }) => cpu > 0),
        target,
      )
    const summary = summarize(measured)
    t.true(proxiesSection(summary).includes('| koa-django-sessions | '))
    const inOtherOrder = { ...summary, measurements: summary.measurements.toReversed() }
    t.is(proxiesSection(inOtherOrder), proxiesSection(summary))
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

/** A round of `answers` requests in `seconds`, each answered after `time` milliseconds. */
function measurementOf(
  target: string,
  round: number,
  { answers = 100, cpu = 100, seconds = 1, time = 1 },
): Measurement {
  return {
    scenario: 'postgresql-1',
    target,
    round,
    seconds,
    times: Array.from({ length: answers }, () => time),
    cpu,
    databaseCpu: 100,
    sent: answers,
    errors: 0,
    statements: 3 * answers,
    memory: 100,
    lost: null,
  }
}

test('a goal is judged by the sums of the rounds, and the range of five parts of them is named', (t) => {
  const cpus = [90, 80, 60, 85, 85]
  const ours = cpus.map((cpu, at) => measurementOf('koa-django-sessions', at + 1, { cpu }))
  const theirs = cpus.map((_, at) => measurementOf('express, connect-pg-simple', at + 1, {}))
  const verdictOf = (measurements: readonly Measurement[]) =>
    judge(summarize(measurements), TARGETS).find(({ what }) => what.startsWith('CPU'))
  t.like(verdictOf([...ours, ...theirs]), {
    wanted: 'at most 1',
    found: '0.80 (0.60 to 0.90)',
    holds: true,
  })
  t.like(verdictOf([...ours, ...ours.map((one, at) => ({ ...one, round: at + 6 })), ...theirs, ...theirs]), {
    found: '0.80 (0.70 to 0.88)',
  })
})

test('a round measures each target once, none twice in a row, and each after each other one', (t) => {
  const all = ['a', 'b', 'c']
  const nextOrder = randomOrders(all)
  const rounds = Array.from({ length: 200 }, () => nextOrder())
  for (const order of rounds) t.deepEqual(order.toSorted(), all)
  const measured = rounds.flat()
  const pairs = new Set(measured.slice(1).map((one, at) => `${measured[at]}${one}`))
  t.deepEqual([...pairs].toSorted(), ['ab', 'ac', 'ba', 'bc', 'ca', 'cb'])
  t.deepEqual(randomOrders(['a'])(), ['a'])
})

test('a round in which the machine was fast counts as often as it had answers', (t) => {
  const summary = summarize([
    measurementOf('ours', 1, { answers: 300, cpu: 300, seconds: 1, time: 2 }),
    measurementOf('ours', 2, { answers: 100, cpu: 500, seconds: 3, time: 8 }),
  ])
  const value = (measure: Measure) => summary.value('postgresql-1', 'ours', measure)
  t.is(value('cpu'), 2)
  t.is(value('requestsPerSecond'), 100)
  t.is(value('statements'), 3)
  t.is(value('p50'), 2)
  t.is(value('p99'), 8)
})

test('only answers in the measured time count, and the load goes on until it is over', async (t) => {
  let [arrived, running, most] = [0, 0, 0]
  const server = createServer((_, response) => {
    arrived += 1
    running += 1
    most = Math.max(most, running)
    setTimeout(() => {
      running -= 1
      response.end('x')
    }, 100)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const marks: number[] = []
  const { port } = server.address() as AddressInfo
  const load = await runLoad({
    ports: [port],
    connections: 8,
    seconds: 1,
    leadIn: 0.5,
    cookie: () => null,
    onBegin: () => marks.push(arrived),
    onEnd: () => marks.push(arrived),
  })
  const [begin = 0, end = 0] = marks
  t.is(most, 8)
  t.is(load.sent, arrived)
  t.is(load.errors, 0)
  t.true(begin > 0)
  // As many as were begun meanwhile, give or take those under way at both ends.
  t.true(Math.abs(load.times.length - (end - begin)) <= 8, `${load.times.length} of ${end - begin}`)
  t.true(load.seconds >= 1)
  t.true(Math.min(...load.times) >= 99)
})

test('a load of few requests ends with them', async (t) => {
  const server = createServer((_, response) => response.end('x'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const load = await runLoad({ ports: [port], connections: 2, seconds: 60, limit: 20, cookie: () => null })
  t.is(load.sent, 20)
  t.true(load.seconds < 30)
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
