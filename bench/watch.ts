/**
 * Watched sessions on MariaDB, while Django logs some of them out: statements a second, the time from Django's logout to the
 * end of the watch, and the memory of a watched session. Writes bench/watch.md, with the load of the machine.
 *
 *   npm run bench:watch                                    10,000 sessions, 300 logouts
 *   npm run bench:watch -- --sessions 500 --logouts 10     fewer; writes nothing without --write
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Knex } from 'knex'
import { createAuthHashes } from '../src/django/auth-hash.ts'
import { stringifyValue } from '../src/django/json.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { openDjangoSite } from '../src/site/django-site.ts'
import { startDurableMariadb } from './database.ts'
import { prepareDatabases } from './prepare.ts'
import { percentileOf } from './statistics.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000' },
    logouts: { type: 'string', default: '300' },
    write: { type: 'boolean', default: false },
  },
})
const SESSIONS = Number(values.sessions)
const LOGOUTS = Number(values.logouts)
const DJANGO = '5.2'
const SECRET_KEY = 'a secret key of the benchmark'
const PASSWORD = 'pbkdf2_sha256$1$salt$not a hash'
const INSERTED = 500
/** Sessions that a watch reads in one round to verify them. */
const VERIFIED = 1000
/** The goals: statements a second, and milliseconds from a logout to the end of the watch. */
const [MOST_STATEMENTS, LONGEST] = [1, 1500]

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

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

interface Result {
  readonly statements: number
  readonly seconds: number
  /** Milliseconds. */
  readonly longestStatement: number
  /** Milliseconds from each logout to the call of `onEnd`. */
  readonly latencies: readonly number[]
  /** Of one core. */
  readonly cpuPercent: number
  readonly bytes: number
  /** The load average of the last minute. */
  readonly load: { readonly before: number; readonly after: number }
}

try {
  if (globalThis.gc === undefined)
    throw new Error('the memory is measured by --expose-gc: npm run bench:watch')
  if (LOGOUTS > SESSIONS) throw new Error('--logouts must be at most --sessions')
  const before = loadOfMachine()
  await prepareDatabases(say)
  const server = await startDurableMariadb(scope, { bufferPool: '512M', logFile: '256M' })
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: server.url }) // read by the modules imported below
  const text = page(await measure(before))
  console.log(text)
  if ((SESSIONS >= 10_000 && LOGOUTS >= 300) || values.write)
    writeFileSync(new URL('watch.md', import.meta.url), text)
} finally {
  for (const end of endings) await end()
}

async function measure(loadBefore: number): Promise<Result> {
  const { createTestDatabase } = await import('../test/support/databases.ts')
  const { connect } = await import('../test/engines/db-under-test.ts')
  const { djangoShell } = await import('../test/support/django.ts')
  const { url } = await createTestDatabase(scope, 'mariadb', { tables: 'library' })
  const db = connect(url)
  scope.teardown(() => db.destroy())
  say(`${SESSIONS.toLocaleString('en')} users and sessions`)
  const keys = await fill(db)

  const site = openDjangoSite({ db, secretKeys: [SECRET_KEY], djangoVersion: DJANGO })
  scope.teardown(() => site.close())
  const ended = new Map<string, number>()
  let requests: { headers: { cookie: string } }[] = []
  for (let at = 0; at < SESSIONS; at += INSERTED) {
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
  await delay((2 * SESSIONS * 1000) / VERIFIED + 2000)
  const bytes = (heapUsed() - heapBefore) / SESSIONS
  requests = []

  say(`Django logs ${LOGOUTS} of them out`)
  const statements = countStatements(db)
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  const chosen = keys.filter((_, at) => at % Math.floor(SESSIONS / LOGOUTS) === 0).slice(0, LOGOUTS)
  const env = { SECRET_KEY, DATABASE_URL: url, USE_TZ: 'true', TIME_ZONE: 'UTC' }
  const input = JSON.stringify(chosen)
  const times: Record<string, number> = JSON.parse(await djangoShell(DJANGO, { env, script: SCRIPT, input }))
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const measured = {
    ...statements(),
    seconds,
    cpuPercent: (user + system) / 10_000 / seconds,
    load: { before: loadBefore, after: loadOfMachine() },
  }
  for (let waited = 0; ended.size < LOGOUTS && waited < 60; waited += 1) await delay(1000)
  const latencies = chosen.map((key) => (ended.get(key) ?? Number.NaN) - (times[key] ?? Number.NaN))
  const missed = latencies.filter(Number.isNaN).length
  const others = ended.size + missed - LOGOUTS
  if (missed > 0 || others > 0)
    throw new Error(
      `${missed} logouts were not noticed, and ${others} sessions were ended that Django has not logged out`,
    )
  return { ...measured, latencies, bytes }
}

/** A session for each of as many users. Returns their keys. */
async function fill(db: Knex): Promise<string[]> {
  const profile = versionProfile(DJANGO)
  const codec = createSessionCodec({ secretKeys: [SECRET_KEY], profile, now: () => new Date() })
  const hash = createAuthHashes({ secretKeys: [SECRET_KEY], profile }).create(PASSWORD)
  const keys = Array.from({ length: SESSIONS }, () => newSessionKey())
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
  const sessions = keys.map((session_key, at) => {
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
  await db.batchInsert('django_session', sessions, INSERTED)
  return keys
}

/** Counts from now on; returns what it has counted. */
function countStatements(db: Knex): () => Pick<Result, 'statements' | 'longestStatement'> {
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

function page({ statements, seconds, longestStatement, latencies, cpuPercent, bytes, load }: Result): string {
  const [perSecond, p99] = [statements / seconds, percentileOf(latencies, 0.99)]
  // One more, since a statement may be at both ends of the time.
  const verdict = statements <= MOST_STATEMENTS * seconds + 1 && p99 <= LONGEST ? 'met' : 'NOT met'
  return `# Watched sessions

\`npm run bench:watch\`, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}: ${SESSIONS.toLocaleString('en')} watched sessions of as many users on MariaDB, while Django ${DJANGO}
logs ${LOGOUTS} of them out, one after another. The load average of the machine with ${availableParallelism()} cores was ${load.before.toFixed(1)} before, and ${load.after.toFixed(1)} at the
end, this program, MariaDB and Django included. Where it exceeds the number of cores, the times are those of a busy machine.

| | |
|---|---|
| statements a second | ${perSecond.toFixed(2)} |
| from Django's logout to \`onEnd\`: median | ${percentileOf(latencies, 0.5).toFixed(0)} ms |
| … 99th percentile | ${p99.toFixed(0)} ms |
| … the longest | ${percentileOf(latencies, 1).toFixed(0)} ms |
| the longest statement, with the time in the queue of the process | ${longestStatement.toFixed(0)} ms |
| CPU of this process | ${cpuPercent.toFixed(1)} % of a core |
| memory of a watched session | ${bytes.toFixed(0)} bytes of the heap |

The goal, at most ${MOST_STATEMENTS} statement a second and ${LONGEST} ms in the 99th percentile, is ${verdict}.
`
}

function heapUsed(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

function loadOfMachine(): number {
  return loadavg()[0] ?? Number.NaN
}
