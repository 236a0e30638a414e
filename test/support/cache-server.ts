import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { dyingWithUs, findExecutable } from './executables.ts'

/** A cache server on 127.0.0.1 for one test. It ends with our process. */
export interface CacheServer {
  /** 0 where it listens on a Unix socket alone. */
  readonly port: number
  /** As Django's LOCATION names it, e.g. `redis://127.0.0.1:23456` or `127.0.0.1:23456`. */
  readonly location: string
  readonly pid: number
  /** Ends the server at once, with its connections and all that it holds. */
  kill(): Promise<void>
  /** Starts it again, empty, on the same port; kills it first where it still runs. */
  restart(): Promise<void>
  /** Stops it in its tracks: connections stay open, and nothing answers until `thaw`. */
  freeze(): void
  thaw(): void
  /** Ends the server and removes its folder. */
  stop(): Promise<void>
}

export interface CacheProgram {
  /** The program's file name, e.g. `memcached`. */
  readonly name: string
  readonly port: number
  /** A Unix socket on which the server listens too, or alone if `port` is 0. */
  readonly socket?: string
  readonly location: string
  /** `folder` is an empty one of the server's own. */
  args(folder: string): readonly string[]
}

/** A folder that goes with us, for a server's socket and files. */
export function serverFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  chmodSync(folder, 0o755)
  if (folders.size === 0) process.once('exit', removeFolders)
  folders.add(folder)
  return folder
}

const folders = new Set<string>()

function removeFolders(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
}

/** Starts a server that keeps nothing on disk. @throws Error with its last words when it does not start. */
export async function startCacheServer(
  { name, port, socket, location, args }: CacheProgram,
  folder: string = serverFolder(name),
): Promise<CacheServer> {
  const file = findExecutable([name])
  if (file === null) throw new Error(`${name} is not installed; run \`npm test\` once, which installs it`)
  let server: ChildProcess | null = null

  async function launch(program: string) {
    const started = spawn(...dyingWithUs(program, args(folder)), {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    server = started
    let log = ''
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-4096)
      })
    }
    // Redis listens on its port before it makes its socket.
    for (const address of [
      ...(port === 0 ? [] : [{ port }]),
      ...(socket === undefined ? [] : [{ path: socket }]),
    ]) {
      while (!(await answers(address))) {
        if (hasEnded(started)) throw new Error(`${name} did not start:\n${log}`)
        await sleep(10)
      }
    }
  }
  async function end() {
    if (server === null || hasEnded(server)) return
    const exit = once(server, 'exit')
    server.kill('SIGKILL')
    await exit
  }

  await launch(file)
  return {
    port,
    location,
    get pid() {
      return server?.pid ?? 0
    },
    kill: end,
    async restart() {
      await end()
      await launch(file)
    },
    freeze() {
      server?.kill('SIGSTOP')
      const { pid } = server ?? {}
      for (let tries = 0; pid !== undefined && hasRunningThread(pid); tries += 1) {
        if (tries === 10_000) throw new Error(`${name} could not be stopped in its tracks`)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
    },
    thaw: () => void server?.kill('SIGCONT'),
    async stop() {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whether a signal that stops a process has not reached all of it yet: on a busy machine a thread may still answer. */
function hasRunningThread(pid: number): boolean {
  const folder = `/proc/${pid}/task`
  if (!existsSync(folder)) return false
  return readdirSync(folder).some((thread) => {
    const stat = readFileSync(join(folder, thread, 'stat'), 'latin1')
    return !/^[TZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  })
}

function hasEnded(server: ChildProcess): boolean {
  return server.exitCode !== null || server.signalCode !== null
}

function answers(address: { path: string } | { port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ host: '127.0.0.1', ...address })
    connection.once('error', () => resolve(false))
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
  })
}
