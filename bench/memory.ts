import { setTimeout as delay } from 'node:timers/promises'
import type { Scope } from '../test/support/file-scope.ts'
import { checkTarget } from './check.ts'
import { createLibrary } from './library.ts'
import { runLoad } from './load.ts'
import { targetsOf } from './scenarios.ts'
import { makeSessions } from './sessions.ts'
import { medianOf } from './statistics.ts'
import type { RunningTarget, Target } from './targets.ts'
import { residentMegabytes } from './usage.ts'

export interface MemoryUse {
  readonly target: string
  readonly requests: number
  readonly errors: number
  /** MiB: the median of the last tenth of the time, and the maximum. */
  readonly end: number
  readonly highest: number
}

const CONNECTIONS = 64
/** Its targets are those that are measured. */
const RETURNING = { database: 'mariadb', engine: 'db', visitors: 'many' } as const
const SAMPLES = 100

/** Measures the memory of all targets at the same time, each under the same number of connections. */
export async function measureMemory(
  scope: Scope,
  { targets, minutes }: { targets: readonly Target[]; minutes: number },
): Promise<MemoryUse[]> {
  const site = { databaseUrl: await createLibrary(scope, 'small'), engine: 'db', redisUrl: null } as const
  const seconds = minutes * 60
  const ready: { target: Target; running: RunningTarget; cookies: readonly string[] }[] = []
  for (const target of targetsOf(RETURNING, targets)) {
    const running = await target.start(scope, site)
    await checkTarget(target, running, { ...site, size: 'small' })
    const cookies = await makeSessions(target, running, { site, count: 2000, payload: 0 })
    ready.push({ target, running, cookies })
  }
  return Promise.all(
    ready.map(async ({ target, running, cookies }) => {
      const cookie = (): string | null => cookies[Math.floor(Math.random() * cookies.length)] ?? null
      const load = runLoad({ ports: [running.port], connections: CONNECTIONS, seconds, cookie })
      const samples = await sample(running, seconds)
      const { sent, errors } = await load
      return {
        target: target.name,
        requests: sent,
        errors,
        end: medianOf(samples.slice(-SAMPLES / 10)) ?? Number.NaN,
        highest: Math.max(...samples),
      }
    }),
  )
}

async function sample(running: RunningTarget, seconds: number): Promise<number[]> {
  const samples: number[] = []
  for (let at = 0; at < SAMPLES; at += 1) {
    await delay((seconds * 1000) / SAMPLES)
    samples.push(residentMegabytes(running.pids()))
  }
  return samples
}

/** The results as a Markdown page. */
export function memoryReport(uses: readonly MemoryUse[], minutes: number): string {
  return `# Memory

\`npm run bench -- --memory\`, ${new Date().toISOString().slice(0, 10)}: every target for ${minutes} minutes under ${CONNECTIONS} connections of returning
visitors, all at once on one machine, Node ${process.version}. MiB of resident memory; of Django's three processes the sum.

| target | at the end | highest | requests | errors |
|---|---|---|---|---|
${uses.map(({ target, end, highest, requests, errors }) => `| ${target} | ${end.toFixed(0)} | ${highest.toFixed(0)} | ${requests} | ${errors} |`).join('\n')}
`
}
