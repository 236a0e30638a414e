import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { dyingWithUs } from './executables.ts'
import type { Scope } from './file-scope.ts'
import { projectFolder } from './places.ts'

/** One line of the service's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string }

export interface RunningCommand {
  readonly pid: number
  readonly stdin: NodeJS.WritableStream
  readonly output: Readable
  /** Everything it has printed so far. */
  stdout(): string
  stderr(): string
  /** The lines of its log so far. */
  log(): LogLine[]
  /** The first line of its log with this event, past or to come. @throws Error when it ends without one. */
  next(event: string): Promise<LogLine>
  /** The exit status, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Does nothing after its end: another process may have its pid by then. */
  kill(signal: NodeJS.Signals): void
  /** Sends SIGTERM. Returns the exit status. */
  stop(): Promise<number | NodeJS.Signals>
}

export interface CommandOptions {
  /** All of the environment but PATH, secrets included: nothing of ours reaches it. */
  readonly env?: Readonly<Record<string, string>>
  /** Default: a temporary folder. */
  readonly cwd?: string
  /** Another Node, and another main.js. Default: the bundle that `npm test` made, else the sources. */
  readonly node?: string
  readonly main?: string
  /** More options of Node. */
  readonly nodeOptions?: readonly string[]
}

/** For `serve`: any ports that are free. */
export const freePorts = { PORT: '0', METRICS_PORT: '0' } as const

/** The service's own files, as `npm start` runs them. */
export const sourceMain: string = join(projectFolder, 'src/cli/main.ts')

/** The bundle starts in half the CPU time of the sources. */
const defaultMain = process.env.TEST_MAIN ?? sourceMain

/** Starts the process `koa-django-sessions <args>`. It ends with the scope. */
export function startCommand(
  t: Scope,
  args: readonly string[],
  {
    env = {},
    cwd = temporaryFolder(t),
    node = process.execPath,
    main = defaultMain,
    nodeOptions = [],
  }: CommandOptions = {},
): RunningCommand {
  const program = dyingWithUs(node, [...nodeOptions, main, ...args])
  const child: ChildProcessWithoutNullStreams = spawn(...program, {
    cwd,
    env: { PATH: process.env.PATH, ...env },
  })
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  child.stdin.on('error', () => null) // It may end before it has read all.
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const log = (): LogLine[] =>
    stdout()
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
  return {
    pid: child.pid ?? 0,
    stdin: child.stdin,
    output: child.stdout,
    stdout,
    stderr,
    log,
    next: (event) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const line = log().find((one) => one.event === event)
          if (line === undefined) return
          child.stdout.off('data', look)
          resolve(line)
        }
        child.stdout.on('data', look)
        look()
        void ended.then((end) =>
          reject(new Error(`It ended (${end}) without ${event}:\n${stdout()}${stderr()}`)),
        )
      }),
    ended,
    kill: (signal) => void child.kill(signal),
    stop() {
      child.kill('SIGTERM')
      return ended
    },
  }
}

/** Runs a command to its end, with `input` on its standard input. */
export async function runCommand(
  t: Scope,
  args: readonly string[],
  { input = '', ...options }: CommandOptions & { input?: string } = {},
): Promise<{ status: number | NodeJS.Signals; stdout: string; stderr: string }> {
  const command = startCommand(t, args, options)
  command.stdin.end(input)
  const status = await command.ended
  return { status, stdout: command.stdout(), stderr: command.stderr() }
}

export interface RunningService extends RunningCommand {
  /** Without a slash at the end. */
  readonly url: string
}

/**
 * Our service as `npm start` runs it, on a free port, once it is ready.
 * @throws Error with its output when it does not become ready.
 */
export async function startService(
  t: Scope,
  { env = {}, ...options }: CommandOptions = {},
): Promise<RunningService> {
  // The tests' machine may be busy for longer than a visitor would wait.
  const command = startCommand(t, ['serve'], {
    ...options,
    env: { ...freePorts, DATABASE_TIMEOUT: '30', ...env },
  })
  const { url } = await command.next('service.listening')
  await command.next('service.ready')
  return { ...command, url: new URL(String(url)).origin }
}

/** An empty folder, gone when the scope ends. */
export function temporaryFolder(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'service-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}
