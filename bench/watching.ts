/** What `npm run bench:watch` measures, and its short form in the tests. */
import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import { createAuthHashes } from '../src/django/auth-hash.ts'
import { stringifyValue } from '../src/django/json.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { openDjangoSite } from '../src/site/django-site.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { percentileOf } from './statistics.ts'

const DJANGO = '5.2'
const SECRET_KEY = 'a secret key of the benchmark'
const PASSWORD = 'pbkdf2_sha256$1$salt$not a hash'
const INSERTED = 500
/** Sessions that a watch reads in one round to verify them. */
const VERIFIED = 1000
/** The goals: statements a second, and milliseconds from a logout to the end of the watch. */
const [MOST_STATEMENTS, LONGEST] = [1, 1500]
const TITLES = { mariadb: 'MariaDB', postgresql: 'PostgreSQL' } as const

export type WatchedDatabase = keyof typeof TITLES

/** Logs sessions out, with a pause after each; prints when it has committed each logout, by the clock of this machine. */
const SCRIPT = `
import json, sys, time
from importlib import import_module
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest
engine = import_module(settings.SESSION_ENGINE)
times = {}
for key in json.load(sys.stdin):
    request = HttpRequest()
    request.session = engine.SessionStore(key)
    logout(request)
    times[key] = time.time() * 1000
    time.sleep(0.0917)
print(json.dumps(times))
`

export interface WatchingOptions {
  readonly database: WatchedDatabase
  /** Watched sessions, of as many users. */
  readonly sessions: number
  /** How many of them Django logs out. */
  readonly logouts: number
  readonly say: (text: string) => void
}

/** What was measured on one database. */
export interface Watching {
  readonly database: WatchedDatabase
  readonly sessions: number
  readonly logouts: number
  readonly statements: number
  readonly seconds: number
  /** Milliseconds. */
  readonly longestStatement: number
  /** Milliseconds from each logout to the call of `onEnd`. */
  readonly latencies: readonly number[]
  /** Of one core. */
  readonly cpuPercent: number
  /** Of the heap, for a watched session; NaN without --expose-gc. */
  readonly bytes: number
  /** The load average of the last minute. */
  readonly load: { readonly before: number; readonly after: number }
}

/**
 * Watches sessions on a server of TEST_SERVERS, while Django logs some of them out. The caller sets it before the call.
 * @throws Error when a logout is not noticed, or another session ends.
 */
export async function measureWatching(
  scope: Scope,
  { database, sessions, logouts, say }: WatchingOptions,
): Promise<Watching> {
  const loadBefore = loadOfMachine()
  const { createTestDatabase } = await import('../test/support/databases.ts')
  const { connect } = await import('../test/engines/db-under-test.ts')
  const { djangoShell } = await import('../test/support/django.ts')
  const { url } = await createTestDatabase(scope, database, { tables: 'library' })
  const db = connect(url)
  scope.teardown(() => db.destroy())
  say(`${sessions.toLocaleString('en')} users and sessions on ${TITLES[database]}`)
  const keys = await fill(db, sessions)

  const site = openDjangoSite({ db, secretKeys: [SECRET_KEY], djangoVersion: DJANGO })
  const ended = new Map<string, number>()
  let requests: { headers: { cookie: string } }[] = []
  for (let at = 0; at < sessions; at += INSERTED) {
    const group = keys.slice(at, at + INSERTED).map((key) => ({ headers: { cookie: `sessionid=${key}` } }))
    await Promise.all(group.map((request) => site.authenticate(request)))
    requests.push(...group)
  }
  const heapBefore = heapUsed()
  for (const [at, request] of requests.entries()) {
    const key = keys[at] ?? ''
    site.watch(request, () => ended.set(key, Date.now()))
  }
  say('each session is verified once')
  await delay((2 * sessions * 1000) / VERIFIED + 2000)
  const bytes = (heapUsed() - heapBefore) / sessions
  requests = []

  say(`Django logs ${logouts} of them out`)
  const statements = countStatements(db)
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  const chosen = keys.filter((_, at) => at % Math.floor(sessions / logouts) === 0).slice(0, logouts)
  const env = { SECRET_KEY, DATABASE_URL: url, USE_TZ: 'true', TIME_ZONE: 'UTC' }
  const input = JSON.stringify(chosen)
  const times: Record<string, number> = JSON.parse(await djangoShell(DJANGO, { env, script: SCRIPT, input }))
  // Until the last is noticed: on a busy machine that may be after the last logout.
  for (let waited = 0; ended.size < logouts && waited < 60; waited += 1) await delay(1000)
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const measured = {
    ...statements(),
    seconds,
    cpuPercent: (user + system) / 10_000 / seconds,
    load: { before: loadBefore, after: loadOfMachine() },
  }
  const latencies = chosen.map((key) => (ended.get(key) ?? Number.NaN) - (times[key] ?? Number.NaN))
  const missed = latencies.filter(Number.isNaN).length
  const others = ended.size + missed - logouts
  if (missed > 0 || others > 0)
    throw new Error(
      `${missed} logouts were not noticed, and ${others} sessions were ended that Django has not logged out`,
    )
  await site.close() // it would go on to read beside the next database's
  return { database, sessions, logouts, ...measured, latencies, bytes }
}

/** A session for each of as many users. Returns their keys. */
async function fill(db: Knex, count: number): Promise<string[]> {
  const profile = versionProfile(DJANGO)
  const codec = createSessionCodec({ secretKeys: [SECRET_KEY], profile, now: () => new Date() })
  const hash = createAuthHashes({ secretKeys: [SECRET_KEY], profile }).create(PASSWORD)
  const keys = Array.from({ length: count }, () => newSessionKey())
  const users = keys.map((_, at) => ({
    ...{
      id: at + 1,
      username: `user ${at + 1}`,
      password: PASSWORD,
      first_name: '',
      last_name: '',
      email: '',
    },
    ...{ is_active: true, is_staff: false, is_superuser: false, date_joined: '2026-01-01 00:00:00' },
  }))
  const rows = keys.map((session_key, at) => {
    const values = {
      _auth_user_id: String(at + 1),
      _auth_user_backend: 'django.contrib.auth.backends.ModelBackend',
      _auth_user_hash: hash,
      cart: Array.from({ length: 20 }, (_, item) => ({ item, count: at % 7 })),
    }
    const data = new Map(Object.entries(values).map(([name, value]) => [name, stringifyValue(value)]))
    return { session_key, session_data: codec.encode(data), expire_date: '2999-01-01 00:00:00' }
  })
  await db.batchInsert('auth_user', users, INSERTED)
  await db.batchInsert('django_session', rows, INSERTED)
  return keys
}

/** Counts from now on; returns what it has counted. */
function countStatements(db: Knex): () => Pick<Watching, 'statements' | 'longestStatement'> {
  let statements = 0
  let longestStatement = 0
  const started = new Map<unknown, number>()
  db.on('query', ({ __knexQueryUid: id }) => {
    statements += 1
    started.set(id, performance.now())
  })
  db.on('query-response', (_response, { __knexQueryUid: id }) => {
    const start = started.get(id)
    if (start !== undefined) longestStatement = Math.max(longestStatement, performance.now() - start)
    started.delete(id)
  })
  return () => ({ statements, longestStatement })
}

/** Whether the measured figures are within the goals. */
export function isMet({ statements, seconds, latencies }: Watching): boolean {
  // One more, since a statement may be at both ends of the time.
  return statements <= MOST_STATEMENTS * seconds + 1 && percentileOf(latencies, 0.99) <= LONGEST
}

/** The text of bench/watch.md. */
export function watchingPage(all: readonly [Watching, ...Watching[]]): string {
  const [{ sessions, logouts }] = all
  const row = (title: string, cell: (one: Watching) => string) =>
    `| ${[title, ...all.map(cell)].join(' | ')} |`
  const latency = (part: number) => (one: Watching) => `${percentileOf(one.latencies, part).toFixed(0)} ms`
  return `# Watched sessions

\`npm run bench:watch\`, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}: ${sessions.toLocaleString('en')} watched sessions of as many users, while Django ${DJANGO} logs ${logouts}
of them out, one after another. The load average includes this program, the database and Django. Where it exceeds the ${availableParallelism()} cores
of the machine, the times are those of a busy machine.

${row('', ({ database }) => TITLES[database])}
|${'---|'.repeat(all.length + 1)}
${row('statements a second', ({ statements, seconds }) => (statements / seconds).toFixed(2))}
${row("from Django's logout to `onEnd`: median", latency(0.5))}
${row('… 99th percentile', latency(0.99))}
${row('… the longest', latency(1))}
${row('the longest statement, with the time in the queue of the process', (one) => `${one.longestStatement.toFixed(0)} ms`)}
${row('CPU of this process', (one) => `${one.cpuPercent.toFixed(1)} % of a core`)}
${row('memory of a watched session', (one) => `${one.bytes.toFixed(0)} bytes of the heap`)}
${row('load average before, at the end', ({ load }) => `${load.before.toFixed(1)}, ${load.after.toFixed(1)}`)}
${row(`the goal: at most ${MOST_STATEMENTS} statement a second, and ${LONGEST} ms in the 99th percentile`, (one) => (isMet(one) ? 'met' : 'NOT met'))}
`
}

function heapUsed(): number {
  if (globalThis.gc === undefined) return Number.NaN
  globalThis.gc()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

function loadOfMachine(): number {
  return loadavg()[0] ?? Number.NaN
}
