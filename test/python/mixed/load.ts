import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { secretKey } from '../../engines/db-under-test.ts'
import { pythonCommand, pythonEnvironment } from '../../support/django-processes.ts'
import { dyingWithUs } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { projectFolder, siteFolder } from '../../support/places.ts'

/** One request of a history: what it read and what it wrote. */
export interface HistoryLine {
  readonly side: 'django' | 'ours'
  /** Each connection changes a shelf of its own, one request after the other. */
  readonly shelf: number
  readonly turn: number
  /** The turn whose item this request takes out of the cart: the latest acknowledged one of this shelf. */
  readonly before: number | null
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number
  readonly endedAt: number
  /** The session that was sent, and the one that the answer named. */
  readonly sent: string
  readonly kept: string | null
  /** Null: no answer came, so the change may have been applied. */
  readonly status: number | null
  readonly read: { readonly visits: number; readonly turn: number | null } | null
}

export interface MixedSite {
  /** The session that all visitors share. */
  readonly sessionKey: () => string
  /**
   * Sends this many requests by this many connections, half of them to each side. Returns their history.
   * `cart`: whether they change a list, too. `at`: what happens meanwhile, by the number of requests that have ended by then.
   */
  visit(
    count: number,
    options: { connections: number; cart?: boolean; at?: Readonly<Record<number, () => Promise<void>>> },
  ): Promise<HistoryLine[]>
  /** Logs in through Django, which moves the session to another key. */
  login(): Promise<void>
  /** Sends SIGKILL to a process of one side, and starts another one in its place. */
  kill(side: HistoryLine['side']): Promise<void>
}

/** gunicorn with two processes of four threads, and two processes of ours, on one database and one session. */
export async function startMixedSite(
  t: Scope,
  { databaseUrl, engine }: { databaseUrl: string; engine: string },
): Promise<MixedSite> {
  const gunicorn = await startDjango(t, databaseUrl, engine)
  const ours = await Promise.all([startOurs(t, databaseUrl), startOurs(t, databaseUrl)])
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  let sessionKey = (await request(gunicorn.port, '/visit?shelf=first&turn=0')).kept ?? ''
  const turns = new Map<number, number>()
  const latest = new Map<number, number>()

  async function visit(
    side: HistoryLine['side'],
    shelf: number,
    number: number,
    cart: boolean,
  ): Promise<HistoryLine> {
    const port = side === 'django' ? gunicorn.port : (ours[number % 2]?.port ?? 0)
    const turn = (turns.get(shelf) ?? 0) + 1
    turns.set(shelf, turn)
    const before = latest.get(shelf) ?? null
    const [startedAt, sent] = [performance.now(), sessionKey]
    const query = `shelf=${shelf}&turn=${turn}${cart ? `&before=${shelf}-${before}` : ''}`
    const path = `/visit?${query}`
    const answer = await request(port, path, sent, side === 'ours' && agent).catch(() => null)
    if (answer?.status === 200 && answer.kept === sent) latest.set(shelf, turn)
    return {
      side,
      shelf,
      turn,
      before,
      startedAt,
      endedAt: performance.now(),
      sent,
      kept: answer?.kept ?? null,
      status: answer?.status ?? null,
      read: answer?.status === 200 ? JSON.parse(answer.body) : null,
    }
  }

  return {
    sessionKey: () => sessionKey,
    async visit(count, { connections, cart = true, at = {} }) {
      const history: HistoryLine[] = []
      const events: Promise<void>[] = []
      let sent = 0
      const visitor = async (shelf: number) => {
        while (sent < count) {
          const number = sent
          sent += 1
          const line = await visit(number % 2 === 0 ? 'django' : 'ours', shelf, number >> 1, cart)
          history.push(line)
          const event = at[history.length]
          if (event !== undefined) events.push(event())
          if (line.status === null) await delay(100) // Refused connections would be a storm.
        }
      }
      await Promise.all(Array.from({ length: connections }, (_, shelf) => visitor(shelf)))
      await Promise.all(events)
      return history
    },
    async login() {
      const { status, kept } = await request(gunicorn.port, '/login', sessionKey)
      if (status !== 200 || kept === null || kept === sessionKey)
        throw new Error(`The login failed: ${status}`)
      sessionKey = kept
    },
    async kill(side) {
      if (side === 'django') return gunicorn.killWorker()
      const fresh = await startOurs(t, databaseUrl)
      const doomed = ours.shift()
      ours.push(fresh)
      doomed?.child.kill('SIGKILL')
    },
  }
}

async function startDjango(
  t: Scope,
  databaseUrl: string,
  engine: string,
): Promise<{ port: number; killWorker(): Promise<void> }> {
  const args = [
    '--workers=2',
    '--threads=4',
    '--bind=127.0.0.1:0',
    '--graceful-timeout=1',
    'hot_site:application',
  ]
  const child = spawn(...pythonCommand('5.2', ['-m', 'gunicorn', ...args]), {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: {
      ...pythonEnvironment,
      PYTHONPATH: `${projectFolder}/python:${siteFolder}`,
      SECRET_KEY: secretKey,
      DATABASE_URL: databaseUrl,
      SESSION_ENGINE: engine,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => end(child))
  const workers: number[] = []
  let log = ''
  const port = await new Promise<number>((resolve, reject) => {
    let found = 0
    createInterface(child.stderr).on('line', (line) => {
      log += `${line}\n`
      found ||= Number(/Listening at: http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0)
      const [, pid] = /Booting worker with pid: (\d+)/.exec(line) ?? []
      if (pid !== undefined) workers.push(Number(pid))
      if (workers.length === 2) resolve(found)
    })
    child.once('exit', () => reject(new Error(`gunicorn ended:\n${log}`)))
  })
  return {
    port,
    async killWorker() {
      const doomed = workers.shift()
      if (doomed !== undefined) process.kill(doomed, 'SIGKILL')
    },
  }
}

async function startOurs(t: Scope, databaseUrl: string): Promise<{ port: number; child: ChildProcess }> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const child = spawn(...dyingWithUs(process.execPath, [script, databaseUrl]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => end(child))
  const [port] = await once(createInterface(child.stdout), 'line')
  return { port: Number(port), child }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** @throws Error when no whole answer came. */
async function request(
  port: number,
  path: string,
  sessionKey?: string,
  // gunicorn may close a connection that waits for the next request.
  agent: Agent | false = false,
): Promise<{ status: number; kept: string | null; body: string }> {
  const sent = get({
    host: '127.0.0.1',
    port,
    path,
    agent,
    ...(sessionKey !== undefined && { headers: { Cookie: `sessionid=${sessionKey}` } }),
  })
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const body = await text(response)
  const kept = /sessionid=(\w+)/.exec(response.headers['set-cookie']?.join() ?? '')?.[1] ?? null
  return { status: response.statusCode ?? 0, kept, body }
}
