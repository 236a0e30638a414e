import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { dyingWithUs } from '../support/executables.ts'
import type { Scope } from '../support/file-scope.ts'
import { until } from '../support/until.ts'
import type { Target } from './generator.ts'
import type { Answer, Contents, Entry, Kind, Operation } from './history.ts'
import type { Order } from './worker.ts'

/** What faults of processes can hit. */
export interface Breakable {
  freeze(): void
  thaw(): void
  /** Sets the clock, by so many milliseconds. */
  setClock(wrongBy: number): void
  /** Ends a process by SIGKILL, and starts it again. */
  restart(options?: { version?: string }): Promise<void>
}

/** A process that executes requests, and that a fault may hit. */
export interface Side extends Target, Breakable {
  /** The same requests, by HTTP. */
  readonly http: Target
  order(order: Order): void
}

/** A Django whose sessions merge, behind gunicorn. */
export interface MergingSide extends Target, Breakable {
  /** The kinds of requests that it gets. */
  readonly kinds: readonly Kind[]
}

/** For how long a client waits for an answer, in milliseconds. */
const PATIENCE = 1500

const script = fileURLToPath(new URL('worker.ts', import.meta.url))

/**
 * Starts a process of our side on this database, as beside this version of Django. With the folder of a FileBasedCache, its
 * session engine is `cached_db`.
 */
export async function startSide(
  t: Scope,
  databaseUrl: string,
  { version, cacheFolder }: { version: string; cacheFolder: string | null },
): Promise<Side> {
  let worker: ChildProcess
  let port = 0
  let current = version
  let ready = Promise.resolve()
  const waiting = new Map<number, (answer: Answer) => void>()

  async function start(): Promise<void> {
    const started = spawn(
      ...dyingWithUs(process.execPath, [script, databaseUrl, current, cacheFolder ?? '']),
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    started.stdin.on('error', () => {}) // It was killed, and its requests are `unknown`.
    const lines = createInterface(started.stdout)
    const [first] = await Promise.race([once(lines, 'line'), once(started, 'exit')])
    if (typeof first !== 'string') throw new Error('A process of the history did not start')
    port = Number(first)
    lines.on('line', (line) => {
      const { end, ...answer } = JSON.parse(line) as Extract<Entry, { end: number }>
      waiting.get(end)?.(answer)
    })
    worker = started
  }

  async function kill(): Promise<void> {
    const doomed = worker
    doomed.kill('SIGKILL')
    if (doomed.exitCode === null && doomed.signalCode === null) await once(doomed, 'exit')
    for (const resolve of [...waiting.values()]) resolve({ outcome: 'unknown' })
  }

  const order = (each: Order) => void worker.stdin?.write(`${JSON.stringify(each)}\n`)

  await start()
  t.teardown(kill)
  return {
    async send(operation) {
      await ready
      return new Promise((resolve) => {
        const finish = (answer: Answer) => {
          clearTimeout(timer)
          waiting.delete(operation.id)
          resolve(answer)
        }
        const timer = setTimeout(() => finish({ outcome: 'unknown' }), PATIENCE)
        waiting.set(operation.id, finish)
        worker.stdin?.write(`${JSON.stringify(operation)}\n`)
      })
    },
    http: {
      async send(operation) {
        await ready
        return sendByHttp(`http://127.0.0.1:${port}/`, operation)
      },
    },
    order,
    setClock: (clock) => order({ clock }),
    freeze: () => void worker.kill('SIGSTOP'),
    thaw: () => void worker.kill('SIGCONT'),
    async restart({ version: next = current } = {}) {
      current = next
      ready = kill().then(start)
      await ready
    },
  }
}

/**
 * A Django that executes requests by merging_site/. Its middleware saves after the page is made: the answer shows what was
 * loaded, the status whether the session was saved, and the cookie its key.
 *
 * It gets no `cycle`: two of Django's `cycle_key` at once both succeed, and each keeps a session
 * (django/contrib/sessions/backends/base.py). With `cached_db`, a load may find a copy in the cache that is about to be
 * deleted (django/contrib/sessions/backends/cached_db.py). So it gets no `read` then, and answers do not show the copy.
 */
export function createMergingSide(
  t: Scope,
  { url, workers }: { url: string; workers(): number[] },
  { readsCopies, clockFile }: { readsCopies: boolean; clockFile: string },
): MergingSide {
  let frozen: number | null = null
  const thaw = () => {
    if (frozen !== null) process.kill(frozen, 'SIGCONT')
    frozen = null
  }
  t.teardown(thaw)
  return {
    kinds: readsCopies ? ['create', 'change', 'logout'] : ['create', 'read', 'change', 'logout', 'expire'],
    send: (operation) => sendByHttp(`${url}/`, operation),
    freeze() {
      frozen = workers()[0] ?? null
      if (frozen !== null) process.kill(frozen, 'SIGSTOP')
    },
    thaw,
    setClock: (wrongBy) => writeFileSync(clockFile, String(wrongBy)),
    async restart() {
      const before = workers()
      const [doomed] = before
      if (doomed === undefined) throw new Error('gunicorn has no worker')
      process.kill(doomed, 'SIGKILL')
      const isReplaced = (now: number[]) => !now.includes(doomed) && now.length >= before.length
      await until('gunicorn replaces a worker', () => isReplaced(workers()))
    },
  }
}

async function sendByHttp(url: string, operation: Operation): Promise<Answer> {
  const { kind, key } = operation
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(operation),
      headers: key === null ? {} : { Cookie: `sessionid=${key}` },
      signal: AbortSignal.timeout(PATIENCE),
    })
    // A page of Django's own for 400 may stand for any error of the database; the site's own answer is a refusal.
    if (response.status !== 200 && response.status !== 400) return { outcome: 'unknown' }
    const answer = (await response.json()) as Answer
    const newKey = /sessionid=(\w+)/.exec(response.headers.get('Set-Cookie') ?? '')?.[1]
    const isNew = answer.outcome === 'ok' && kind === 'create'
    if (!isNew || answer.key !== undefined) return answer
    return newKey === undefined ? { outcome: 'unknown' } : { ...answer, key: newKey }
  } catch {
    return { outcome: 'unknown' }
  }
}

/** Plain Django, which reads sessions and logs out: its saves may lose changes, so it makes none. */
export function djangoTarget(url: string): Target {
  return {
    async send({ kind, key }: Operation): Promise<Answer> {
      try {
        const response = await fetch(`${url}/_test/session`, {
          method: kind === 'logout' ? 'DELETE' : 'GET',
          headers: { Cookie: `sessionid=${key}` },
          signal: AbortSignal.timeout(PATIENCE),
        })
        if (response.status !== 200) return { outcome: 'unknown' }
        if (kind === 'logout') return { outcome: 'ok' }
        const stored = (await response.json()) as Record<string, unknown>
        return 'log' in stored ? { outcome: 'ok', seen: contentsOf(stored) } : { outcome: 'gone' }
      } catch {
        return { outcome: 'unknown' }
      }
    },
  }
}

function contentsOf({ log, count, cart, ...rest }: Record<string, unknown>): Contents {
  const last = Object.entries(rest).filter(([key]) => key.startsWith('last_'))
  return {
    log: log as string[],
    count: Number(count),
    last: Object.fromEntries(last.map(([key, number]) => [key.slice('last_'.length), Number(number)])),
    cart: cart as Record<string, number>,
  }
}
