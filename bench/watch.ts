/**
 * Watched sessions on MariaDB and PostgreSQL, while Django logs some of them out: statements a second, the time from Django's
 * logout to the end of the watch, and the memory of a watched session. Writes bench/watch.md, with the load of the machine.
 *
 *   npm run bench:watch                                    10,000 sessions, 300 logouts
 *   npm run bench:watch -- --sessions 500 --logouts 10     fewer; writes nothing without --write
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startDurableMariadb, startDurablePostgresql } from './database.ts'
import { prepareDatabases } from './prepare.ts'
import { measureWatching, watchingPage } from './watching.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000' },
    logouts: { type: 'string', default: '300' },
    write: { type: 'boolean', default: false },
  },
})
const [sessions, logouts] = [Number(values.sessions), Number(values.logouts)]

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

try {
  if (globalThis.gc === undefined)
    throw new Error('the memory is measured by --expose-gc: npm run bench:watch')
  if (logouts > sessions) throw new Error('--logouts must be at most --sessions')
  await prepareDatabases(say)
  const mariadb = await startDurableMariadb(scope, { bufferPool: '512M', logFile: '256M' })
  const postgresql = await startDurablePostgresql(scope, { sharedBuffers: '512MB' })
  // Read by the modules that measureWatching imports.
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: mariadb.url, postgresql: postgresql.url })
  const options = { sessions, logouts, say }
  const text = watchingPage([
    await measureWatching(scope, { ...options, database: 'mariadb' }),
    await measureWatching(scope, { ...options, database: 'postgresql' }),
  ])
  console.log(text)
  if ((sessions >= 10_000 && logouts >= 300) || values.write)
    writeFileSync(new URL('watch.md', import.meta.url), text)
} finally {
  for (const end of endings) await end()
}
