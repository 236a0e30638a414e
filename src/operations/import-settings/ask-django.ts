import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { quoted } from '../../checks/quoted.ts'
import { settingDefinitions } from '../../service/settings/definitions.ts'
import { findPython } from './find-python.ts'
import type { PlainValue } from './plain-value.ts'

/** The Django project could not be asked for its settings. The message says why, and what to do. */
export class CannotAskDjango extends Error {
  override name = 'CannotAskDjango'
  readonly code: string = 'ERR_CANNOT_ASK_DJANGO'
}

/** What ask_django.py prints. `{error}`: this part of the project could not be loaded. */
export interface ProjectFacts {
  /** `5.2.19` */
  readonly django: string
  readonly python: string
  /** DJANGO_SETTINGS_MODULE. */
  readonly module: string
  /** Those that the project's Django has, defaults included. */
  readonly settings: Readonly<Record<string, PlainValue>>
  /** The settings that differ from Django's defaults. */
  readonly changed: readonly string[]
  readonly middleware: PlainValue
  readonly debug: boolean
  /** The folder to which relative paths of the project are relative. */
  readonly folder: string
  /** Python's tempfile.gettempdir(). */
  readonly temporaryFolder: string
  readonly user: UserFacts | Failure
  readonly store: StoreFacts | Failure
  /** The alias of the database that a DatabaseCache of the sessions uses; null for another cache. */
  readonly cacheAlias: string | null | Failure
  readonly databases: Readonly<Record<string, DatabaseFacts | Failure>>
  /** LOGIN_URL and its like, where names of URL patterns are looked up. */
  readonly urls: Readonly<Record<string, string | null | Failure>>
  /** The user of the operating system. */
  readonly account: string | Failure
  /** Variables that libpq reads, and HOME. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface Failure {
  readonly error: string
}

/** One entry of DATABASES. */
export interface DatabaseFacts {
  /** Django's word for its kind, e.g. `postgresql`, also for a backend that wraps another. */
  readonly vendor: string
  /** The name of the driver's Python module. */
  readonly driver: string
  readonly ENGINE: PlainValue
  readonly NAME: PlainValue
  readonly USER: PlainValue
  readonly PASSWORD: PlainValue
  readonly HOST: PlainValue
  readonly PORT: PlainValue
  readonly OPTIONS: PlainValue
  readonly TIME_ZONE: PlainValue
}

/** A field of the user model. `computed`: a property or a method. `inherited`: in the table of a parent model. */
export type FieldFacts =
  | { readonly is: 'column' | 'inherited'; readonly column: string }
  | { readonly is: 'missing' | 'computed' }
  | { readonly is: 'constant'; readonly value: boolean }

export interface UserFacts {
  readonly table: string
  readonly alias: string
  readonly idColumn: string
  /** Django's name of the type, e.g. `BigAutoField`. */
  readonly idType: string
  readonly usernameField: string
  readonly fields: Readonly<Record<string, FieldFacts>>
  readonly relations: Readonly<Record<string, { readonly table: string; readonly column: string } | null>>
  /** The class that defines get_session_auth_hash; null without it. */
  readonly sessionHash: string | null
}

export interface StoreFacts {
  readonly name: string
  readonly qualifiedName: string
  /** The class and its bases, in the order in which Python looks for a method. */
  readonly classes: readonly {
    readonly module: string
    readonly name: string
    readonly defines: readonly string[]
  }[]
  /** Null before Django 3.1. */
  readonly keySalt: string | null
  readonly cacheKeyPrefix: string | null
  readonly serializer: string | null
  /** Seconds. */
  readonly cookieAge: number
  readonly model: SessionModelFacts | null
}

export interface SessionModelFacts {
  readonly table: string
  readonly alias: string
  /** The columns of session_key, session_data and expire_date. */
  readonly columns: Readonly<Record<string, string>>
  /** Further columns that an INSERT must fill. */
  readonly required: readonly string[]
}

export interface AskOptions {
  /** The path of the project's manage.py. */
  readonly managePy: string
  /** Default: see `findPython`. */
  readonly python?: string | undefined
  /** DJANGO_SETTINGS_MODULE; default: that of manage.py or of the environment. */
  readonly settingsModule?: string | undefined
  /** The environment of the project's Python. */
  readonly env: NodeJS.ProcessEnv
  /** Aborted by Ctrl-C. */
  readonly signal?: AbortSignal
  /** Milliseconds. */
  readonly timeout?: number
  /** Told which Python is run. */
  readonly onPython?: (python: { readonly file: string; readonly because: string }) => void
}

/** Milliseconds. Some projects take long to import; none takes this long. */
const TIMEOUT = 60_000

/** Bytes of the output that are kept: the document is much smaller, and what settings.py prints comes before it. */
const MAX_OUTPUT = 8 * 1024 ** 2

/** Characters of its standard error that are kept, from the end. */
const MAX_ERRORS = 4000

/** Beside this file in the sources, in the package and in the bundle. */
const SCRIPT = fileURLToPath(new URL('./ask_django.py', import.meta.url))

/**
 * Asks a Django project for what its sessions depend on, by its own Python. The project is loaded as by manage.py, and
 * nothing is written. @throws {CannotAskDjango} @throws the reason of `signal` once it is aborted
 */
export async function askDjango({ managePy, python, env, ...options }: AskOptions): Promise<ProjectFacts> {
  const manage = resolve(managePy)
  if (!existsSync(manage) || basename(manage) === '')
    throw new CannotAskDjango(`there is no file ${manage}; write the path of the project's manage.py`)
  const found =
    python === undefined ? findPython(manage, env) : { file: python, because: '--python names it' }
  if (found === null)
    throw new CannotAskDjango(
      'no Python was found; write --python with the path of the Python that runs manage.py',
    )
  options.onPython?.(found)
  const { output, errors } = await run(found.file, manage, { env, ...options })
  const facts = documentIn(output)
  if (facts === null)
    throw new CannotAskDjango(
      `${found.file} ended without an answer${shortened(errors)}; write --python with the path of a Python 3.6 or newer that runs manage.py`,
    )
  if ('error' in facts) throw failed(facts, found, errors)
  return facts
}

async function run(
  file: string,
  manage: string,
  { env, settingsModule = '', signal, timeout = TIMEOUT }: Omit<AskOptions, 'managePy' | 'python'>,
): Promise<{ output: string; errors: string }> {
  const child = spawn(file, [SCRIPT, manage, settingsModule, ...asked()], {
    cwd: dirname(manage),
    // Nothing is written there, not even Python's compiled files.
    env: { ...env, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const end = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', end)
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    end()
  }, timeout)
  const chunks: Buffer[] = []
  let size = 0
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > MAX_OUTPUT) end()
    else chunks.push(chunk)
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-MAX_ERRORS)
  })
  try {
    await once(child, 'close')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown'
    throw new CannotAskDjango(
      `${file} cannot be run (${code}); write --python with the path of the Python that runs manage.py`,
    )
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', end)
  }
  signal?.throwIfAborted()
  if (isLate)
    throw new CannotAskDjango(
      `the project was not loaded within ${timeout / 1000} s${shortened(errors)}; see whether \`manage.py check\` ends`,
    )
  return { output: Buffer.concat(chunks).toString(), errors }
}

/** The names of all settings that Django may have. */
function asked(): string[] {
  const names = settingDefinitions().flatMap(({ django }) => django?.match(/\b[A-Z][A-Z_]{4,}\b/g) ?? [])
  const further = ['SECURE_SSL_REDIRECT', 'USE_X_FORWARDED_PORT', 'INSTALLED_APPS']
  const elsewhere = ['DATABASES', 'USERNAME_FIELD']
  return [...new Set([...names, ...further])].filter((name) => !elsewhere.includes(name))
}

/** Null when there is none. The last one counts, should settings.py print the marker, too. */
function documentIn(output: string): ProjectFacts | (Failure & { where: string; missing: string }) | null {
  const [, text = null] = /.*<<<koa-django-sessions(\{.*\})koa-django-sessions>>>/s.exec(output) ?? []
  return text === null ? null : JSON.parse(text)
}

function failed(
  { error, where, missing }: Failure & { where: string; missing: string },
  { file, because }: { file: string; because: string },
  errors: string,
): CannotAskDjango {
  if (missing === 'django' || missing.startsWith('django.'))
    return new CannotAskDjango(
      `Django is not installed in ${file} (${because}); write --python with the path of the Python that runs manage.py, e.g. --python ${join('venv', 'bin', 'python')}`,
    )
  const advice =
    missing === ''
      ? 'see whether `manage.py check` runs in this shell: it needs the same environment variables'
      : `install it there, or write --python with the path of the Python that runs manage.py`
  const place = where === '' ? '' : ` at ${where}`
  return new CannotAskDjango(
    `the project could not be loaded by ${file}${place}: ${withoutUsers(error)}${shortened(errors)}; ${advice}`,
  )
}

/** The last lines that the project wrote to its standard error. */
function shortened(errors: string): string {
  const lines = withoutUsers(errors)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return lines.length === 0 ? '' : ` (it wrote: ${lines.slice(-3).join(' / ').slice(0, 500)})`
}

/** Messages of Python may quote a URL with its password. */
function withoutUsers(text: string): string {
  return text.replace(/[a-z][a-z\d+.-]*:\/\/\S+/gi, (url) => quoted(url).slice(1, -1))
}
