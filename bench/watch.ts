/**
 * `node --expose-gc bench/watch.ts`: 10,000 watched sessions on MariaDB, while Django logs sessions out. Writes bench/watch.md: statements a
 * second, the time from Django's logout to the end of the watch, and the memory of a watched session.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { createAuthHashes } from '../src/django/auth-hash.ts'
import { stringifyValue } from '../src/django/json.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { openDjangoSite } from '../src/site/django-site.ts'
import { connect } from '../test/engines/db-under-test.ts'
import { createTestDatabase } from '../test/support/databases.ts'
import { djangoShell } from '../test/support/django.ts'
import type { Scope } from '../test/support/file-scope.ts'

const SESSIONS = 10_000
const LOGOUTS = 300
const djangoVersion = '5.2'
const secretKey = 'a secret key of the benchmark'
const PASSWORD = 'pbkdf2_sha256$1$salt$not a hash'
const INSERTED = 500

const teardowns: (() => unknown)[] = []
const scope = { teardown: (run: () => unknown) => void teardowns.unshift(run) } as Scope

const { url } = await createTestDatabase(scope, 'mariadb', { tables: 'library' })
const db = connect(url)
teardowns.unshift(() => db.destroy())
const profile = versionProfile(djangoVersion)
const codec = createSessionCodec({ secretKeys: [secretKey], profile, now: () => new Date() })
const hash = createAuthHashes({ secretKeys: [secretKey], profile }).create(PASSWORD)

const keys = Array.from({ length: SESSIONS }, () => newSessionKey())
const ids = keys.map((_, at) => at + 1)
await db.batchInsert(
  'auth_user',
  ids.map((id) => ({
    ...{ id, username: `user ${id}`, password: PASSWORD, first_name: '', last_name: '', email: '' },
    ...{ is_active: true, is_staff: false, is_superuser: false, date_joined: '2026-01-01 00:00:00' },
  })),
  INSERTED,
)
await db.batchInsert(
  'django_session',
  keys.map((session_key, at) => {
    const values = {
      _auth_user_id: String(ids[at]),
      _auth_user_backend: 'django.contrib.auth.backends.ModelBackend',
      _auth_user_hash: hash,
      cart: Array.from({ length: 20 }, (_, item) => ({ item, count: at % 7 })),
    }
    const data = new Map(Object.entries(values).map(([name, value]) => [name, stringifyValue(value)]))
    return { session_key, session_data: codec.encode(data), expire_date: '2999-01-01 00:00:00' }
  }),
  INSERTED,
)

const site = openDjangoSite({ db, secretKeys: [secretKey], djangoVersion })
const ended = new Map<string, number>()
let requests: { headers: { cookie: string } }[] = []
for (let at = 0; at < SESSIONS; at += INSERTED) {
  const group = keys.slice(at, at + INSERTED).map((key) => ({ headers: { cookie: `sessionid=${key}` } }))
  await Promise.all(group.map((request) => site.authenticate(request)))
  requests.push(...group)
}
const before = heapUsed()
for (const [at, request] of requests.entries()) {
  const key = keys[at] ?? ''
  site.watch(request, () => ended.set(key, Date.now()))
}
let statements = 0
let longest = 0
const started = new Map<unknown, number>()
db.on('query', ({ __knexQueryUid: id }) => {
  statements += 1
  started.set(id, performance.now())
})
db.on('query-response', (_response, { __knexQueryUid: id }) => {
  longest = Math.max(longest, performance.now() - (started.get(id) ?? 0))
  started.delete(id)
})
await delay(20_000) // until each was verified once: 1,000 in a round
const after = heapUsed()
requests = []

statements = 0
longest = 0
const [start, cpu] = [performance.now(), process.cpuUsage()]
// Django says when it has committed each logout, by the clock of this machine.
const script = `
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
const chosen = keys.filter((_, at) => at % Math.floor(SESSIONS / LOGOUTS) === 0).slice(0, LOGOUTS)
const env = { SECRET_KEY: secretKey, DATABASE_URL: url, USE_TZ: 'true', TIME_ZONE: 'UTC' }
const times: Record<string, number> = JSON.parse(
  await djangoShell(djangoVersion, { env, script, input: JSON.stringify(chosen) }),
)
const seconds = (performance.now() - start) / 1000
const used = process.cpuUsage(cpu)
const perSecond = statements / seconds
const longestRead = longest
await delay(5000)
const latencies = chosen
  .map((key) => (ended.get(key) ?? Number.POSITIVE_INFINITY) - (times[key] ?? Number.NaN))
  .sort((a, b) => a - b)
const percentile = (part: number) => latencies[Math.ceil(latencies.length * part) - 1] ?? Number.NaN

writeFileSync(
  new URL('watch.md', import.meta.url),
  `# Watched sessions

\`node --expose-gc bench/watch.ts\`, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}: ${SESSIONS.toLocaleString('en')} watched sessions of as many users on MariaDB, while Django
${djangoVersion} logs ${LOGOUTS} of them out, one after another. On the ${availableParallelism()} cores there were ${loadavg()[0]?.toFixed(0)} runnable programs (the load average), MariaDB and this one among them.

| | |
|---|---|
| statements a second | ${perSecond.toFixed(2)} |
| from Django's logout to \`onEnd\`: median | ${percentile(0.5).toFixed(0)} ms |
| … 99th percentile | ${percentile(0.99).toFixed(0)} ms |
| … the longest | ${percentile(1).toFixed(0)} ms |
| the longest statement, with the time in the queue of the process | ${longestRead.toFixed(0)} ms |
| CPU of this process | ${((used.user + used.system) / 10_000 / seconds).toFixed(1)} % of a core |
| memory of a watched session | ${((after - before) / SESSIONS).toFixed(0)} bytes of the heap |
`,
)
const others = ended.size - chosen.filter((key) => ended.has(key)).length
if (others > 0) throw new Error(`${others} sessions that nobody has logged out were ended`)
await site.close()
for (const run of teardowns) await run()

function heapUsed(): number {
  if (globalThis.gc === undefined) throw new Error('run it as `node --expose-gc bench/watch.ts`')
  globalThis.gc()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}
