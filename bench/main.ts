/**
 * Measures our service against what a user would pick instead, and against the floor, on one MariaDB that keeps every
 * commit (innodb_flush_log_at_trx_commit=1); in turn, so that a busy moment of the machine meets all alike.
 *
 *   npm run bench                                           everything, some 20 minutes: writes bench/results.md
 *   npm run bench -- --scenario hot --rounds 1 --seconds 2  a part; writes nothing unless --write is given
 *   npm run bench -- --memory                               ten minutes at 64 connections, for the memory
 */
import { parseArgs } from 'node:util'
import { startMariadb } from '../test/support/servers.ts'
import { prepare } from './prepare.ts'

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', multiple: true },
    target: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    memory: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
    write: { type: 'boolean', default: false },
  },
})

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

try {
  await prepare(say)
  const server = await startMariadb({
    extraArguments: [
      '--innodb-flush-log-at-trx-commit=1',
      '--innodb-flush-method=fsync',
      '--innodb-buffer-pool-size=512M',
      '--innodb-log-file-size=256M',
    ],
  })
  scope.teardown(() => server.stop())
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: server.url }) // read by the modules below
  const { runAll } = await import('./run.ts')
  const { SCENARIOS } = await import('./scenarios.ts')
  const { TARGETS } = await import('./targets.ts')
  const chosen = <T extends { name: string }>(all: readonly T[], names: readonly string[] | undefined) =>
    names === undefined ? all : all.filter(({ name }) => names.some((part) => name.includes(part)))
  await runAll(scope, {
    database: server,
    scenarios: chosen(SCENARIOS, values.scenario),
    targets: chosen(TARGETS, values.target),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    onMeasured: (m) =>
      say(
        `${m.scenario.padEnd(14)} ${m.round} ${m.target.padEnd(34)} ${m.requestsPerSecond.toFixed(0).padStart(6)}/s p50 ${m.p50.toFixed(1)} p99 ${m.p99.toFixed(1)} cpu ${m.cpu.toFixed(2)} db ${m.databaseCpu.toFixed(2)} st ${m.statements.toFixed(2)} mem ${m.memory.toFixed(0)} err ${m.errors} lost ${m.lost}`,
      ),
  })
} finally {
  for (const end of endings) await end()
}
