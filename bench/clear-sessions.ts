/**
 * What deleting expired sessions does to saves that run at the same time: our `clearsessions`, and Django's one DELETE, on
 * tables of the same rows, half of them expired, under the same load. Writes bench/clear-sessions.md.
 *
 *   npm run bench:clear                              5,000,000 rows on MariaDB
 *   npm run bench:clear -- --rows 200000             a smaller table; writes nothing without --write
 *   npm run bench:clear -- --database postgresql
 */
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Knex } from 'knex'
import { createDateColumn } from '../src/django/datetime.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { createDbEngine } from '../src/engines/db.ts'
import type { SessionEngine } from '../src/session/engine.ts'
import { databaseKindOf } from '../src/sql/dialect.ts'
import { type DatabaseServer, startPostgresql } from '../test/support/servers.ts'
import { startCommand } from '../test/support/service.ts'
import { startDurableMariadb } from './database.ts'
import { percentileOf } from './statistics.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '5000000' },
    database: { type: 'string', default: 'mariadb' },
    /** Seconds of load without any deletion, before and after each deletion. */
    quiet: { type: 'string', default: '30' },
    write: { type: 'boolean', default: false },
  },
})
const ROWS = Number(values.rows)
const QUIET = Number(values.quiet) * 1000
const DATABASE = values.database === 'postgresql' ? 'postgresql' : 'mariadb'
const SECRET_KEY = 'of a benchmark'
const DJANGO = '5.2'
/** Visitors that save their session again and again, with a pause between two saves. */
const VISITORS = 8
const PAUSE = 40

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

/** A part of the time that is measured on its own. */
interface Phase {
  readonly title: string
  /** Milliseconds of each save. */
  readonly times: number[]
  /** How long it took. */
  seconds: number
  /** The load of the machine in the middle of it. */
  load: number
  failures: number
}

interface Result {
  readonly title: string
  readonly deleted: number
  readonly before: Phase
  readonly during: Phase
  readonly after: Phase
}

try {
  const server = await start()
  process.env.TEST_SERVERS = JSON.stringify({ [DATABASE]: server.url }) // read by the modules imported below
  const results: Result[] = []
  // Each on a table of its own, one after the other, on the same server.
  for (const [title, work] of [
    ['koa-django-sessions clearsessions', clearByUs],
    ['Django’s one DELETE', clearByDjango],
  ] as const)
    results.push(await measure(title, work))
  const text = page(results)
  console.log(text)
  if ((ROWS >= 5_000_000 && DATABASE === 'mariadb') || values.write)
    writeFileSync(new URL('clear-sessions.md', import.meta.url), text)
} finally {
  for (const end of endings) await end()
}

async function start(): Promise<DatabaseServer> {
  if (DATABASE === 'mariadb') return startDurableMariadb(scope, { bufferPool: '1G', logFile: '512M' })
  const server = await startPostgresql()
  scope.teardown(() => server.stop())
  return server
}

async function measure(title: string, work: (url: string) => Promise<number | null>): Promise<Result> {
  const { createTestDatabase, runSql } = await import('../test/support/databases.ts')
  const { connect } = await import('../test/engines/db-under-test.ts')
  const dropping: (() => unknown)[] = []
  const { url } = await createTestDatabase({ teardown: (end) => void dropping.push(end) }, DATABASE, {
    tables: 'sessions',
  })
  const db = connect(url, 120)
  try {
    say(`${title}: inserting ${ROWS.toLocaleString('en')} rows`)
    await fill(url)
    const engine = engineOn(db)
    const keys = await visitors(engine)
    let phase = newPhase('warm-up')
    const ending = new AbortController()
    const load = Promise.all(keys.map((key) => visit(engine, key, () => phase, ending.signal)))
    const measurePhase = async (name: string, step: () => Promise<unknown>): Promise<Phase> => {
      const now = newPhase(name)
      phase = now
      const begin = performance.now()
      await step()
      now.seconds = (performance.now() - begin) / 1000
      now.load = loadavg()[0] ?? Number.NaN
      say(`${title}: ${name}: ${now.seconds.toFixed(1)} s, ${summary(now)}`)
      return now
    }
    await measurePhase('warm-up', () => delay(5000))
    const before = await measurePhase('before', () => delay(QUIET))
    let reported: number | null = null
    const during = await measurePhase('during', async () => {
      reported = await work(url)
    })
    const after = await measurePhase('after', () => delay(QUIET))
    ending.abort()
    await load
    const [row] = await runSql(url, 'SELECT COUNT(*) AS n FROM django_session')
    const deleted = ROWS + VISITORS - Number(row?.n)
    if ((reported ?? deleted) !== deleted || deleted !== Math.floor(ROWS / 2))
      throw new Error(`${title} deleted ${deleted} rows, and says ${reported}`)
    return { title, deleted, before, during, after }
  } finally {
    await db.destroy()
    for (const end of dropping) await end()
  }
}

function newPhase(title: string): Phase {
  return { title, times: [], seconds: 0, load: 0, failures: 0 }
}

/** Rows of a random key and 192 characters of data; every other one expired within the last month, the others live for a day or more. */
async function fill(url: string): Promise<void> {
  const { runScript } = await import('../test/support/databases.ts')
  const month = 30 * 86_400
  await runScript(
    url,
    DATABASE === 'postgresql'
      ? `INSERT INTO django_session (session_key, session_data, expire_date)
           SELECT md5(n::text), repeat(md5((n + 1)::text), 6), now() + (CASE n % 2 WHEN 0 THEN -60 - n % ${month} ELSE 86400 + n % ${month} END) * interval '1 second'
           FROM generate_series(1, ${ROWS}) AS n;
         VACUUM ANALYZE django_session`
      : `ALTER TABLE django_session DROP INDEX django_session_expire_date_a5c62663;
         INSERT INTO django_session (session_key, session_data, expire_date)
           SELECT MD5(seq) AS session_key, REPEAT(MD5(seq + 1), 6), UTC_TIMESTAMP(6) + INTERVAL IF(seq % 2 = 0, -60 - CAST(seq % ${month} AS SIGNED), 86400 + seq % ${month}) SECOND
           FROM seq_1_to_${ROWS} ORDER BY session_key;
         ALTER TABLE django_session ADD INDEX django_session_expire_date_a5c62663 (expire_date);
         ANALYZE TABLE django_session`,
  )
}

function engineOn(db: Knex): SessionEngine {
  const now = () => new Date()
  return createDbEngine({
    db,
    codec: createSessionCodec({ secretKeys: [SECRET_KEY], profile: versionProfile(DJANGO), now }),
    dates: createDateColumn({ database: databaseKindOf(db), useTz: true, timeZone: 'UTC' }),
  })
}

function inTwoWeeks(): Date {
  return new Date(Date.now() + 1_209_600_000)
}

async function visitors(engine: SessionEngine): Promise<string[]> {
  const keys = Array.from({ length: VISITORS }, () => newSessionKey())
  for (const key of keys)
    await engine.create(key, { data: new Map([['num_visits', '0']]), expireDate: inTwoWeeks() })
  return keys
}

/** Loads and saves one session, as a returning visitor does, until the end. */
async function visit(
  engine: SessionEngine,
  key: string,
  phaseNow: () => Phase,
  ending: AbortSignal,
): Promise<void> {
  for (let visits = 1; !ending.aborted; visits += 1) {
    const phase = phaseNow()
    const begin = performance.now()
    try {
      const stored = await engine.load(key)
      if (stored === null) throw new Error('the session is gone')
      const data = new Map([['num_visits', String(visits)]])
      await engine.update(key, { data, expireDate: inTwoWeeks() }, stored.revision)
    } catch {
      phase.failures += 1
    }
    phase.times.push(performance.now() - begin)
    await delay(Math.random() * 2 * PAUSE)
  }
}

/** The command as an operator runs it. */
async function clearByUs(url: string): Promise<number> {
  const command = startCommand(scope, ['clearsessions', '--json'], {
    env: { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: DJANGO, USE_TZ: 'True' },
  })
  if ((await command.ended) !== 0) throw new Error(`clearsessions failed:\n${command.stderr()}`)
  return JSON.parse(command.stdout()).deleted
}

/** The statement of django/contrib/sessions/backends/db.py, clear_expired, at Django's isolation level. */
async function clearByDjango(url: string): Promise<null> {
  const { runScript } = await import('../test/support/databases.ts')
  await runScript(
    url,
    DATABASE === 'postgresql'
      ? 'DELETE FROM django_session WHERE expire_date < now()'
      : `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
         DELETE FROM django_session WHERE expire_date < UTC_TIMESTAMP(6)`,
  )
  return null
}

/** p50, p99 and the longest save, in milliseconds. */
function percentiles({ times }: Phase): string[] {
  return [0.5, 0.99, 1].map((part) => percentileOf(times, part).toFixed(1))
}

function p99Of({ times }: Phase): number {
  return percentileOf(times, 0.99)
}

function summary(phase: Phase): string {
  const [p50, p99, longest] = percentiles(phase)
  return `${phase.times.length} saves, p50 ${p50}, p99 ${p99}, longest ${longest} ms, ${phase.failures} failed, load ${phase.load.toFixed(1)}`
}

function page(results: readonly Result[]): string {
  const rows = results.flatMap(({ title, before, during, after }) =>
    [before, during, after].map((phase) => {
      const cells = [
        phase.seconds.toFixed(0),
        phase.times.length,
        ...percentiles(phase),
        phase.failures,
        phase.load.toFixed(1),
      ]
      return `| ${title}: ${phase.title} | ${cells.join(' | ')} |`
    }),
  )
  const [ours, django] = results
  if (ours === undefined || django === undefined) throw new TypeError('two results are needed')
  /** Against the better of the two measurements without a deletion: the load of the machine changes. */
  const slower = ({ before, during, after }: Result) => p99Of(during) - Math.min(p99Of(before), p99Of(after))
  const change = (result: Result) =>
    `${Math.abs(slower(result)).toFixed(1)} ms ${slower(result) < 0 ? 'lower' : 'higher'}`
  const ratio = ours.during.seconds / django.during.seconds
  const verdict = slower(ours) <= 50 ? 'met' : 'NOT met'
  return `# Deleting expired sessions

\`npm run bench:clear\`, ${new Date().toISOString().slice(0, 10)}: ${ROWS.toLocaleString('en')} sessions on ${DATABASE === 'mariadb' ? 'MariaDB' : 'PostgreSQL'}, half of them expired, on one machine with
${cpus().length} cores, Node ${process.version}. ${VISITORS} visitors load and save their session all the time, with a pause of ${PAUSE} ms on average. A save below
is the load and the save of one visit. Each kind of deletion has a table of its own; before and after it, the same visitors
are measured without a deletion. Load is that of the whole machine in the last minute, which ${cpus().length} would fill.

| | seconds | visits | p50 ms | p99 ms | longest ms | failed | load |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}

- While \`clearsessions\` runs, p99 is ${change(ours)} than in the better of the two times without a deletion. The goal,
  at most 50 ms, is ${verdict}.
- While Django's DELETE runs, p99 is ${change(django)}.
- \`clearsessions\` takes ${ratio.toFixed(1)} times as long as the DELETE, for ${ours.deleted.toLocaleString('en')} rows (${Math.round(ours.deleted / ours.during.seconds).toLocaleString('en')} rows a second): it rests at least half of the
  time. It can be ended at any moment without losing what it has done.
- Where the load differs between two lines, other processes of the machine had a part in their difference.
`
}
