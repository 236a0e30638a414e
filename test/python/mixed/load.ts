import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { secretKey } from '../../engines/db-under-test.ts'
import { cachesOf, fileBasedCache } from '../../histories/file-based-cache.ts'
import { pythonCommand, pythonEnvironment } from '../../support/django-processes.ts'
import { dyingWithUs } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { projectFolder, siteFolder } from '../../support/places.ts'
import { type End, groupOf, type HistoryLine, type Side } from './losses.ts'

export interface MixedSite {
  /** The session that all visitors share. */
  readonly sessionKey: () => string
  /**
   * Sends this many requests by this many connections, half of them to each side. Returns their history.
   * `cart`: whether they change a list, too. `at`: what happens meanwhile, one after the other, by the number of requests that
   * have ended by then.
   */
  visit(
    count: number,
    options: { connections: number; cart?: boolean; at?: Readonly<Record<number, () => Promise<void>>> },
  ): Promise<HistoryLine[]>
  /** The user who logs in. */
  readonly userId: number
  /** Logs in through this side, which moves the session to another key. */
  login(side: Side): Promise<void>
  /** Logs out through this side. Another session begins, which visitors share from then on. */
  logout(side: Side): Promise<void>
  /** The logins and logouts until now. */
  readonly ends: readonly End[]
  /** Sends SIGKILL to a process of one side, and starts another one in its place. */
  kill(side: Side): Promise<void>
}

/** Each of so many requests that follow a login or a logout still sends the old key, as another tab of the visitor does. */
const STALE = 7
/** Each of so many shelves also replaces the checkout. */
const REPLACING = 8

interface MixedSiteOptions {
  readonly databaseUrl: string
  /** SESSION_ENGINE of both sides. */
  readonly engine: string
  /** The folder of the FileBasedCache that both sides share. */
  readonly cacheFolder: string
}

/** gunicorn with two processes of four threads, and two processes of ours, on one database and one session. */
export async function startMixedSite(t: Scope, site: MixedSiteOptions): Promise<MixedSite> {
  const gunicorn = await startDjango(t, site)
  const ours = await Promise.all([startOurs(t, site, 'compute'), startOurs(t, site, 'set')])
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const { id: userId } = JSON.parse((await request(gunicorn.port, '/user')).body)
  const portOf = (side: Side, number = 0) =>
    side === 'django' ? gunicorn.port : (ours[number % 2]?.port ?? 0)
  const begin = async () => (await request(gunicorn.port, '/visit?group=none&shelf=first&turn=0')).kept ?? ''
  let sessionKey = await begin()
  const ends: End[] = []
  const turns = new Map<number, number>()
  const latest = new Map<number, number>()

  async function visit(side: Side, shelf: number, number: number, cart: boolean): Promise<HistoryLine> {
    const turn = (turns.get(shelf) ?? 0) + 1
    turns.set(shelf, turn)
    const before = latest.get(shelf) ?? null
    const replaces = cart && shelf % REPLACING === 0
    const sent = (number % STALE === 0 ? ends.at(-1)?.key : undefined) ?? sessionKey
    const startedAt = performance.now()
    const query = `group=${groupOf(shelf)}&shelf=${shelf}&turn=${turn}${cart ? `&before=${shelf}-${before}` : ''}`
    const path = `/visit?${query}${replaces ? '&checkout=' : ''}`
    const answer = await request(portOf(side, number), path, sent, side === 'ours' && agent).catch(() => null)
    if (answer?.status === 200 && answer.kept === sent) latest.set(shelf, turn)
    return {
      side,
      shelf,
      turn,
      before,
      replaces,
      startedAt,
      endedAt: performance.now(),
      sent,
      kept: answer?.kept ?? null,
      status: answer?.status ?? null,
      read: answer?.status === 200 ? JSON.parse(answer.body) : null,
    }
  }

  async function end(kind: End['kind'], side: Side): Promise<void> {
    const key = sessionKey
    const next = kind === 'logout' ? await begin() : null
    const { status, kept } = await request(portOf(side), `/${kind}?user=${userId}`, key)
    const endedAt = performance.now()
    const newKey = next ?? kept
    if (status !== 200 || newKey === null || newKey === key) throw new Error(`The ${kind} failed: ${status}`)
    ends.push({ kind, key, newKey, endedAt })
    sessionKey = newKey
  }

  return {
    sessionKey: () => sessionKey,
    userId,
    ends,
    login: (side) => end('login', side),
    logout: (side) => end('logout', side),
    async visit(count, { connections, cart = true, at = {} }) {
      const history: HistoryLine[] = []
      let events = Promise.resolve()
      let sent = 0
      const visitor = async (shelf: number) => {
        while (sent < count) {
          const number = sent
          sent += 1
          const line = await visit(number % 2 === 0 ? 'django' : 'ours', shelf, number >> 1, cart)
          history.push(line)
          const event = at[history.length]
          if (event !== undefined) events = events.then(event)
          if (line.status === null) await delay(100) // Refused connections would be a storm.
        }
      }
      await Promise.all(Array.from({ length: connections }, (_, shelf) => visitor(shelf)))
      await events
      return history
    },
    async kill(side) {
      if (side === 'django') return gunicorn.killWorker()
      const fresh = await startOurs(t, site, ours[0]?.manner ?? 'set')
      const doomed = ours.shift()
      ours.push(fresh)
      doomed?.child.kill('SIGKILL')
    },
  }
}

async function startDjango(
  t: Scope,
  { databaseUrl, engine, cacheFolder }: MixedSiteOptions,
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
      CACHES: cachesOf(fileBasedCache(cacheFolder)),
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

interface OurProcess {
  readonly port: number
  readonly child: ChildProcess
  readonly manner: 'compute' | 'set'
}

async function startOurs(
  t: Scope,
  { databaseUrl, engine, cacheFolder }: MixedSiteOptions,
  manner: OurProcess['manner'],
): Promise<OurProcess> {
  const script = fileURLToPath(new URL('server.ts', import.meta.url))
  const child = spawn(...dyingWithUs(process.execPath, [script, databaseUrl, engine, cacheFolder, manner]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => end(child))
  const [port] = await once(createInterface(child.stdout), 'line')
  return { port: Number(port), child, manner }
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
