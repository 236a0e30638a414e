import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pythonOf, readyDjangoVersions } from './django-environments.ts'
import { dyingWithUs } from './executables.ts'
import type { Scope } from './file-scope.ts'
import { siteFolder } from './places.ts'

/** The Django versions of this run, oldest first; in CI all that test/support/django-environments.ts names. */
export const djangoVersions: readonly string[] = readyDjangoVersions()

export interface DjangoOptions {
  version: string
  secretKey: string
  databaseUrl?: string
  /** More of what test/django-site/locallibrary/settings.py reads, e.g. `{ SESSION_COOKIE_AGE: '60' }`. */
  settings?: Readonly<Record<string, string>>
}

/**
 * Serves LocalLibrary by real Django on a free port: all its middleware, DEBUG off, a thread a request.
 * `/_test/session` reads (GET), extends (POST, a JSON object) and flushes (DELETE) the session.
 */
export async function startDjango(
  t: Scope,
  { migrate = false, ...options }: DjangoOptions & { databaseUrl: string; migrate?: boolean },
): Promise<{ url: string; stop(): Promise<void>; log(): string }> {
  const server = python(options, ['serve.py', ...(migrate ? ['--migrate'] : [])])
  const log = collect(server.stderr)
  const stop = () => end(server)
  t.teardown(stop)
  const [port] = await Promise.race([once(createInterface(server.stdout), 'line'), once(server, 'close')])
  if (typeof port !== 'string') throw new Error(`Django ${options.version} did not start:\n${log()}`)
  return { url: `http://127.0.0.1:${port}`, stop, log }
}

/**
 * Runs a Python script inside the configured project; gives what it printed.
 * `env` holds SECRET_KEY, DATABASE_URL and the like; the script reads `input` from sys.stdin.
 */
export async function djangoShell(
  version: string,
  {
    env = {},
    script,
    input = '',
  }: { env?: Readonly<Record<string, string>>; script: string; input?: string },
): Promise<string> {
  const { SECRET_KEY = 'unused', DATABASE_URL, ...settings } = env
  const options = {
    version,
    secretKey: SECRET_KEY,
    ...(DATABASE_URL && { databaseUrl: DATABASE_URL }),
    settings,
  }
  const shell = python(options, ['-c', `import django; django.setup()\n${script}`])
  const [output, errors] = [collect(shell.stdout), collect(shell.stderr)]
  shell.stdin.end(input)
  const [code] = await once(shell, 'close')
  if (code !== 0) throw new Error(`The script failed under Django ${version}:\n${errors()}`)
  return output()
}

export interface DjangoCodec {
  /** JSON text of an object → session_data, through `SessionStore.encode`. */
  encode(json: string): Promise<string>
  /** session_data → JSON text exactly as Python's json.dumps prints it, `,` and `:` without blanks. */
  decode(sessionData: string): Promise<string>
}

/**
 * The real SessionStore in a Python process that lives as long as the scope; it answers any number of calls, in order.
 * What Python raises rejects with an Error whose message begins with the exception's name.
 */
export async function startCodec(t: Scope, options: DjangoOptions): Promise<DjangoCodec> {
  const codec = python(options, ['codec.py'])
  const errors = collect(codec.stderr)
  t.teardown(() => end(codec))
  const waiting: { resolve(result: string): void; reject(error: Error): void }[] = []
  createInterface(codec.stdout).on('line', (line) => {
    const { result, error } = JSON.parse(line) as { result?: string; error?: string }
    const call = waiting.shift()
    if (result !== undefined) call?.resolve(result)
    else call?.reject(new Error(error))
  })
  codec.once('close', () => {
    for (const { reject } of waiting)
      reject(new Error(`The codec of Django ${options.version} ended:\n${errors()}`))
  })
  codec.stdin.on('error', () => null) // 'close' tells more.
  const call = (request: object) =>
    new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject })
      codec.stdin.write(`${JSON.stringify(request)}\n`)
    })
  return { encode: (json) => call({ encode: json }), decode: (sessionData) => call({ decode: sessionData }) }
}

/** A Python of the site. Nothing of our own environment reaches it but PATH: a SECRET_KEY there is not the test's. */
function python(
  { version, secretKey, databaseUrl = '', settings = {} }: DjangoOptions,
  args: readonly string[],
): ChildProcessWithoutNullStreams {
  if (!djangoVersions.includes(version)) throw new Error(`Django ${version} is not among this run's versions`)
  return spawn(...dyingWithUs(pythonOf(version), ['-W', 'ignore', ...args]), {
    cwd: siteFolder,
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONIOENCODING: 'utf-8:surrogatepass',
      DJANGO_SETTINGS_MODULE: 'locallibrary.settings',
      ...settings,
      SECRET_KEY: secretKey,
      DATABASE_URL: databaseUrl,
    },
  })
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

async function end(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  program.kill('SIGKILL')
  await once(program, 'exit')
}
