/**
 * Ten minutes of mixed load on the service, in its own process and with its own MariaDB. Memory must be stable after
 * the warm-up, and handles must not grow. Writes bench/soak.md.
 *
 *   npm run soak                      ten minutes
 *   npm run soak -- --seconds 60      a short run
 */
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { cpus } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { newSessionKey } from '../src/django/session-key.ts'
import { scrape } from '../test/support/scrape.ts'
import { startMariadb } from '../test/support/servers.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '600' } } })
const SECONDS = Number(values.seconds)
const VISITORS = 16
const RETURNING = 500
const SAMPLES = 30
/** The first part of the samples is ignored: caches fill, and code is compiled. */
const WARM_UP = 0.3
/** The maximum ratio of the last third to the first third after the warm-up. */
const TOLERANCE = 1.1

interface Sample {
  readonly second: number
  readonly requests: number
  readonly rss: number
  readonly heap: number
  readonly handles: number
}

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const failures: string[] = []
const statuses = new Map<string, number>()
/** The one session that all connections share. */
let hot = ''
const agent = new Agent({ keepAlive: true, maxSockets: VISITORS })

try {
  const samples = await soak()
  report(samples)
} finally {
  agent.destroy()
  for (const end of endings) await end()
}
for (const failure of failures) console.error(`soak: ${failure}`)
process.exitCode = failures.length === 0 ? 0 : 1

async function soak(): Promise<Sample[]> {
  const server = await startMariadb()
  scope.teardown(() => server.stop())
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: server.url }) // read by the module below
  const { createTestDatabase } = await import('../test/support/databases.ts')
  const { startService } = await import('../test/support/service.ts')
  const { url: databaseUrl } = await createTestDatabase(scope, 'mariadb', { tables: 'library' })
  const service = await startService(scope, {
    env: { DATABASE_URL: databaseUrl, DJANGO_SECRET_KEY: 'of a soak', LOG_LEVEL: 'info', USE_TZ: 'true' },
  })
  const { url: metricsUrl } = await service.next('metrics.listening')
  const metrics = new URL(String(metricsUrl)).origin

  const start = performance.now()
  const isOver = () => performance.now() - start > SECONDS * 1000
  const load = Promise.all(Array.from({ length: VISITORS }, () => visitor(service.url, isOver)))
  const samples: Sample[] = []
  for (let at = 1; at <= SAMPLES; at += 1) {
    await delay(start + (SECONDS * 1000 * at) / SAMPLES - performance.now())
    const { samples: found } = await scrape(metrics)
    const sample = {
      second: Math.round((performance.now() - start) / 1000),
      requests: [...statuses.values()].reduce((sum, count) => sum + count, 0),
      rss: (found.get('process_resident_memory_bytes') ?? Number.NaN) / 2 ** 20,
      heap: (found.get('nodejs_heap_size_used_bytes') ?? Number.NaN) / 2 ** 20,
      handles: found.get('nodejs_active_handles_total') ?? Number.NaN,
    }
    samples.push(sample)
    console.log(row(sample))
  }
  await load
  if (service.stderr() !== '')
    failures.push(`the service wrote to standard error: ${service.stderr().slice(0, 500)}`)
  const end = await service.stop()
  if (end !== 0) failures.push(`the service ended with ${end}`)
  return samples
}

/** The visitors of one connection: most return, some are new, some share a hot session, some send unknown keys or paths. */
async function visitor(url: string, isOver: () => boolean): Promise<void> {
  const cookies: string[] = []
  while (!isOver()) {
    const dice = Math.random()
    if (dice < 0.6 && cookies.length > 0) await visit(`${url}/catalog/`, pick(cookies))
    else if (dice < 0.75 && hot !== '') await visit(`${url}/catalog/`, hot)
    else if (dice < 0.85) {
      const cookie = await visit(`${url}/catalog/`)
      if (cookie !== null && cookies.length < RETURNING / VISITORS) cookies.push(cookie)
      hot ||= cookie ?? ''
    } else if (dice < 0.9) await visit(`${url}/catalog/`, `sessionid=${newSessionKey()}`)
    else if (dice < 0.95) await visit(`${url}/nothing/here`, pick(cookies))
    else await visit(`${url}/`, '')
    await delay(Math.random() * 120)
  }
}

function pick(cookies: readonly string[]): string {
  return cookies[Math.floor(Math.random() * cookies.length)] ?? ''
}

/** Resolves to the cookie that was set, or null. */
function visit(url: string, cookie = ''): Promise<string | null> {
  return new Promise((resolve) => {
    const count = (status: string) => statuses.set(status, (statuses.get(status) ?? 0) + 1)
    const sent = request(url, { agent, headers: cookie === '' ? {} : { cookie } }, (response) => {
      count(String(response.statusCode))
      response
        .resume()
        .once('end', () =>
          resolve(/^sessionid=\w+/.exec(response.headers['set-cookie']?.[0] ?? '')?.[0] ?? null),
        )
    })
    sent.once('error', (error) => {
      count(error.name)
      resolve(null)
    })
    sent.end()
  })
}

function report(samples: readonly Sample[]): void {
  const counted = samples.slice(Math.floor(samples.length * WARM_UP))
  const third = Math.max(1, Math.floor(counted.length / 3))
  const verdicts = (['rss', 'heap', 'handles'] as const).map((name) => {
    // The number of handles varies with the open connections; only its maximum must not grow.
    const of = name === 'handles' ? maximum : median
    const [first, last] = [of(counted.slice(0, third), name), of(counted.slice(-third), name)]
    if (!(last <= first * TOLERANCE))
      failures.push(`${name} grew from ${first.toFixed(1)} to ${last.toFixed(1)}`)
    return `| ${name} | ${first.toFixed(1)} | ${last.toFixed(1)} | ${(last / first).toFixed(2)} |`
  })
  const answered = [...statuses].map(([status, count]) => `${status}: ${count}`).join(', ')
  const unexpected = [...statuses.keys()].filter((status) => !['200', '301', '404'].includes(status))
  if (unexpected.length > 0) failures.push(`unexpected answers: ${unexpected.join(', ')}`)
  const text = `# Soak

${SECONDS} seconds of mixed load (returning, new, hot, unknown and lost visitors) over ${VISITORS} connections, Node
${process.version}, MariaDB, ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}. Answers: ${answered}.

| | first third after the warm-up | last third | ratio |
|---|---|---|---|
${verdicts.join('\n')}

Memory: the median in MiB. Handles: the maximum. \`npm run soak\` fails when a ratio exceeds ${TOLERANCE}, or when an answer is not 200, 301 or 404.

| second | requests | rss | heap used | handles |
|---|---|---|---|---|
${samples.map(row).join('\n')}
`
  writeFileSync(new URL('soak.md', import.meta.url), text)
  console.log(text)
}

function row({ second, requests, rss, heap, handles }: Sample): string {
  return `| ${second} | ${requests} | ${rss.toFixed(1)} | ${heap.toFixed(1)} | ${handles} |`
}

function median(samples: readonly Sample[], name: 'rss' | 'heap' | 'handles'): number {
  return (
    samples.map((sample) => sample[name]).toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ??
    Number.NaN
  )
}

function maximum(samples: readonly Sample[], name: 'rss' | 'heap' | 'handles'): number {
  return Math.max(...samples.map((sample) => sample[name]))
}
