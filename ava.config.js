import { availableParallelism } from 'node:os'

/** Files that take long begin first, so that no core is idle at the end. `npm test` prints the slowest of a whole run. */
const LONGEST_FIRST = [
  'test/faults/readiness.test.ts',
  'test/fuzz/sizes.test.ts',
  'test/faults/database-gone.test.ts',
  'test/cli/start-problems.test.ts',
  'test/faults/start.test.ts',
  'test/service/database/hosts.test.ts',
  'test/hostile/rows.test.ts',
  'test/adapters/koa/session-middleware-keys.test.ts',
  'test/demo.test.ts',
  'test/package.test.ts',
  'test/browser/login.test.ts',
  'test/interop/database-time-zone.test.ts',
  'test/interop/user-models.test.ts',
  'test/interop/users.test.ts',
  'test/fuzz/django.test.ts',
  'test/service/database/galera.test.ts',
  'test/histories/histories.test.ts',
  'test/faults/lost-answers.test.ts',
  'test/service/database/pgbouncer.test.ts',
  'test/bench.test.ts',
]

/** @param {string} file */
const rank = (file) => {
  const at = LONGEST_FIRST.findIndex((name) => file.endsWith(name))
  return at === -1 ? LONGEST_FIRST.length : at
}

export default {
  // Most files wait for servers part of the time: with three files on two cores both cores are busy.
  concurrency: Math.ceil(1.5 * availableParallelism()),
  extensions: ['ts'],
  // `npm run test:examples` runs the others.
  files: ['test/**/*.test.ts', '!test/examples/**'],
  require: ['./test/support/record-file-time.ts'],
  sortTestFiles: (a, b) => rank(a) - rank(b),
  timeout: '2m',
  workerThreads: false,
}
