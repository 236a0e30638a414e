/**
 * The short form of the benchmark: everything that it compares still starts, still does the measured work, and
 * answers for three seconds. The figures are meaningless, because other tests run at the same time.
 */
import test from 'ava'
import { openStage } from '../bench/measure.ts'
import { installPeers } from '../bench/packages.ts'
import { measureProxies, proxiesReport } from '../bench/proxies.ts'
import { createReport } from '../bench/report.ts'
import { SCENARIOS } from '../bench/scenarios.ts'
import { BUNDLE, TARGETS } from '../bench/targets.ts'
import { bundleService } from './support/bundle.ts'
import { testDatabases } from './support/databases.ts'
import { execute, findExecutable } from './support/executables.ts'
import { fileScope } from './support/file-scope.ts'
import { projectFolder } from './support/places.ts'

const file = fileScope(test)
const hot = SCENARIOS.find(({ name }) => name === 'hot')
if (hot === undefined) throw new TypeError('there is no such scenario')

test.before('the compared packages are installed, and the service is bundled', async (t) => {
  t.timeout(120_000)
  await installPeers((text) => t.log(text))
  await bundleService(BUNDLE)
})

// Its test data is created with MariaDB's sequences.
if (testDatabases.includes('mariadb')) {
  const { mariadb: url } = JSON.parse(process.env.TEST_SERVERS ?? '{}')
  const stage = openStage(file, { database: { url, pid: null }, warmsUp: false })

  for (const target of TARGETS) {
    test(`${target.name} shows correct counts, keeps a correct session and answers for three seconds`, async (t) => {
      const measured = await (await stage).measure(target, hot, { round: 1, seconds: 3 })

      t.is(measured.errors, 0)
      t.true(measured.requests > 0)
      t.true(measured.cpu > 0 && measured.memory > 0 && measured.statements > 0)
      if (target.kind === 'ours') t.is(measured.lost, 0, 'visits')
      const startUps = [{ title: 'MariaDB', cpu: 0.4, wall: 0.3 }]
      const options = { targets: TARGETS, startUps, rounds: 1, seconds: 3, isFull: false }
      const { markdown, charts } = createReport({ measurements: [measured], ...options })
      t.true(markdown.includes(`| ${target.name} | ${measured.cpu.toFixed(2)} |`))
      t.regex(charts.get('cpu.svg') ?? '', /^<svg .*<rect .*<\/svg>\n$/s)
    })
  }
}

if (findExecutable(['nginx']) !== null) {
  test('each proxy passes the page on', async (t) => {
    t.timeout(110_000)
    const options = { rounds: 1, seconds: 1 }
    const measured = await measureProxies(file, { ...options, warmUp: 20 })
    t.is(measured.length, 12)
    for (const { proxy, requestsPerSecond, cpu, errors } of measured) {
      t.is(errors, 0, proxy)
      t.true(requestsPerSecond > 0 && cpu > 0, proxy)
    }
    t.true(proxiesReport(measured, options).includes('| koa-django-sessions | '))
  })
}

test('the programs of the benchmark type-check', async (t) => {
  const tsc = [`${projectFolder}/node_modules/typescript/bin/tsc`, '-p', 'bench/targets/tsconfig.json']
  await t.notThrowsAsync(execute(process.execPath, tsc, { cwd: projectFolder }))
})
