import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { readyDjangoVersions } from './django-environments.ts'
import { pythonCommand, pythonEnvironment } from './django-processes.ts'
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

/** Serves the same site by gunicorn, which is in the environment of Django 5.2. `workers`: the processes that run now. */
export async function startGunicorn(
  t: Scope,
  options: Omit<DjangoOptions, 'version'> & { databaseUrl: string },
): Promise<{ url: string; log(): string; workers(): number[] }> {
  const arguments_ = ['--bind=127.0.0.1:0', '--threads=4', 'django.core.wsgi:get_wsgi_application()']
  const server = python({ version: '5.2', ...options }, ['-m', 'gunicorn', ...arguments_])
  const log = collect(server.stderr)
  t.teardown(() => end(server, 'exit')) // Its workers end later, by themselves.
  const pids = (line: RegExp) =>
    log()
      .matchAll(line)
      .map(([, pid]) => Number(pid))
  const workers = () => {
    const ended = new Set(pids(/Worker \(pid:(\d+)\) (?:exited|was sent)/g))
    return pids(/Booting worker with pid: (\d+)/g)
      .filter((pid) => !ended.has(pid))
      .toArray()
  }
  for await (const line of createInterface(server.stderr)) {
    const [, url] = /Listening at: (http:\/\/[\d.:]+)/.exec(line) ?? []
    if (url === undefined) continue
    server.stderr.resume() // The end of the loop paused it.
    return { url, log, workers }
  }
  throw new Error(`gunicorn did not start:\n${log()}`)
}

/**
 * Runs a Python script inside the configured project. Returns its output.
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
  const call = startLines(t, options, 'codec.py')
  const result = async (request: object) => (await call<{ result: string }>(request)).result
  return {
    encode: (json) => result({ encode: json }),
    decode: (sessionData) => result({ decode: sessionData }),
  }
}

/** A SessionStore of real Django, with its data. */
export interface DjangoStore {
  readonly key: string | null
  /** Python's repr of the dictionary. */
  readonly data: string
}

/** The stores of one Python process, by names that the test chooses. A Python exception rejects. */
export interface DjangoStores {
  /** Loads the session of this key, or begins a new one. `engine` is e.g. `cached_db`, `cache` an alias of CACHES. */
  open(as: string, where: { engine: string; cache: string; key?: string | null }): Promise<DjangoStore>
  /** Sets the items of a dictionary, a Python expression, and saves. */
  save(as: string, value?: string): Promise<DjangoStore>
  flush(as: string): Promise<DjangoStore>
}

export function startStores(t: Scope, options: DjangoOptions): DjangoStores {
  const call = startLines(t, options, 'store.py')
  return {
    open: (as, where) => call({ do: 'open', as, ...where }),
    async save(as, value = '{}') {
      await call({ do: 'set', as, value })
      return call({ do: 'save', as })
    },
    flush: (as) => call({ do: 'flush', as }),
  }
}

/** Real Django that makes sessions, also broken ones, and says what it does with a cookie. A Python exception rejects. */
export interface DjangoPlanter {
  /** Runs Python code with the names of test/django-site/plant.py; returns its `result`. */
  plant(code: string, settings?: Readonly<Record<string, unknown>>): Promise<string>
  /** What a real request with this Cookie header does to its session, as `Outcome` names it. */
  observe(cookie: string, settings?: Readonly<Record<string, unknown>>): Promise<string>
}

export function startPlanter(t: Scope, options: DjangoOptions): DjangoPlanter {
  const call = startLines(t, options, 'plant.py')
  return {
    plant: async (code, settings = {}) =>
      (await call<{ result: string }>({ do: 'plant', code, settings })).result,
    observe: async (cookie, settings = {}) =>
      (await call<{ outcome: string }>({ do: 'observe', cookie, settings })).outcome,
  }
}

/** A script that answers each JSON line with another; `{"error": …}` rejects. */
function startLines(t: Scope, options: DjangoOptions, script: string): <R>(request: object) => Promise<R> {
  const server = python(options, [script])
  const errors = collect(server.stderr)
  t.teardown(() => end(server))
  const waiting: { resolve(reply: never): void; reject(error: Error): void }[] = []
  createInterface(server.stdout).on('line', (line) => {
    const reply = JSON.parse(line) as { error?: string }
    const call = waiting.shift()
    if (reply.error === undefined) call?.resolve(reply as never)
    else call?.reject(new Error(reply.error))
  })
  server.once('close', () => {
    for (const { reject } of waiting)
      reject(new Error(`${script} of Django ${options.version} ended:\n${errors()}`))
  })
  server.stdin.on('error', () => null) // 'close' tells more.
  return (request) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject })
      server.stdin.write(`${JSON.stringify(request)}\n`)
    })
}

/** A Python of the site. */
function python(
  { version, secretKey, databaseUrl = '', settings = {} }: DjangoOptions,
  args: readonly string[],
): ChildProcessWithoutNullStreams {
  if (!djangoVersions.includes(version)) throw new Error(`Django ${version} is not among this run's versions`)
  return spawn(...pythonCommand(version, args), {
    cwd: siteFolder,
    env: {
      ...pythonEnvironment,
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

async function end(program: ChildProcess, event: 'close' | 'exit' = 'close'): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  program.kill('SIGKILL')
  await once(program, event) // 'close' waits for a fork, too: it has the streams of the client that we kill.
}
