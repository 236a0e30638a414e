import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The demo cannot run. The message says what is missing, and what to do. */
export class DemoProblem extends Error {
  override name = 'DemoProblem'
}

/** A Python that has Django. */
export interface DemoDjango {
  readonly python: string
  /** E.g. `5.2`. */
  readonly version: string
}

/** The packages for a Python of at least this version; the newest first. */
const RELEASES: readonly { python: readonly [number, number]; packages: readonly string[] }[] = [
  { python: [3, 10], packages: ['Django==5.2.19', 'asgiref==3.8.1', 'sqlparse==0.5.3'] },
  { python: [3, 8], packages: ['Django==4.2.30', 'asgiref==3.8.1', 'sqlparse==0.5.3'] },
]

const CACHE = process.env.DEMO_CACHE || fileURLToPath(new URL('../../.cache/demo', import.meta.url))

/**
 * The Python of DEMO_PYTHON, or else of a virtual environment in the cache folder, which is made with a pinned Django from
 * PyPI at the first call.
 * @throws {DemoProblem}
 */
export async function findDjango(say: (text: string) => void): Promise<DemoDjango> {
  const python = process.env.DEMO_PYTHON || (await environmentPython(say))
  const script = 'import django; print("%d.%d" % django.VERSION[:2])'
  const { stdout } = await promisify(execFile)(python, ['-c', script]).catch((error: unknown) => {
    throw new DemoProblem(
      `${python} cannot import Django (${lastLine(error)}); unset DEMO_PYTHON, or set it to one that can`,
    )
  })
  return { python, version: stdout.trim() }
}

async function environmentPython(say: (text: string) => void): Promise<string> {
  const { program, release } = await systemPython()
  const [django = ''] = release.packages
  const folder = join(CACHE, django.replace('==', '-').toLowerCase())
  const python = pythonIn(folder)
  if (existsSync(python)) return python
  say(`getting ${django.replace('==', ' ')} from PyPI into ${folder}, once`)
  await makeEnvironment(program, { folder, packages: release.packages })
  return python
}

/** The newest release for the Python of this machine. */
async function systemPython(): Promise<{ program: string; release: (typeof RELEASES)[number] }> {
  const script = 'import sys; print(*sys.version_info[:2])'
  let found = ''
  for (const program of ['python3', 'python']) {
    const answer = await promisify(execFile)(program, ['-c', script]).catch(() => null)
    if (answer === null) continue
    const [major = 0, minor = 0] = answer.stdout.trim().split(' ').map(Number)
    const release = RELEASES.find(({ python }) => major === python[0] && minor >= python[1])
    if (release !== undefined) return { program, release }
    found = `; ${program} is ${major}.${minor}`
  }
  throw new DemoProblem(
    `Python 3.8 or newer is not installed as python3${found}; install it, or set DEMO_PYTHON to a Python that has Django`,
  )
}

/** Makes it under another name first: an interrupted download leaves nothing behind. */
async function makeEnvironment(
  program: string,
  { folder, packages }: { folder: string; packages: readonly string[] },
): Promise<void> {
  mkdirSync(CACHE, { recursive: true })
  const unfinished = mkdtempSync(join(CACHE, 'new-'))
  const ending = new AbortController()
  const cleanUp = () => {
    ending.abort()
    rmSync(unfinished, { recursive: true, force: true })
  }
  const interrupt = () => process.exit(130)
  process.once('exit', cleanUp)
  for (const signal of SIGNALS) process.once(signal, interrupt)
  const execute = (file: string, args: readonly string[]) =>
    promisify(execFile)(file, args, { signal: ending.signal, maxBuffer: 16 << 20 })
  try {
    await execute(program, ['-m', 'venv', unfinished]).catch((error: unknown) => {
      throw new DemoProblem(
        `${program} cannot make a virtual environment (${lastLine(error)}); on Debian and Ubuntu: apt install python3-venv`,
      )
    })
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--only-binary=:all:',
      '--retries=1',
    ]
    await execute(pythonIn(unfinished), [...pip, ...packages]).catch((error: unknown) => {
      throw new DemoProblem(
        `Django could not be downloaded from PyPI (${lastLine(error)}); check the network, or set DEMO_PYTHON to a Python that has Django`,
      )
    })
    if (!existsSync(folder)) renameSync(unfinished, folder)
  } finally {
    process.off('exit', cleanUp)
    for (const signal of SIGNALS) process.off(signal, interrupt)
    cleanUp()
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function pythonIn(folder: string): string {
  return process.platform === 'win32' ? join(folder, 'Scripts/python.exe') : join(folder, 'bin/python')
}

/** What went wrong in one line: programs say it last. */
function lastLine(error: unknown): string {
  const output =
    error instanceof Error && 'stdout' in error && 'stderr' in error ? `${error.stdout}${error.stderr}` : ''
  const text = output.trim() || (error instanceof Error ? error.message : String(error))
  return text.trim().split('\n').at(-1)?.trim() ?? ''
}
