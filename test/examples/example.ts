import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import type { TestDatabaseName } from '../support/databases.ts'
import { dyingWithUs, execute } from '../support/executables.ts'
import type { Scope } from '../support/file-scope.ts'
import { freePort } from '../support/free-port.ts'
import { cacheFolder, projectFolder } from '../support/places.ts'
import { until } from '../support/until.ts'

/** How a built example is started: a file of its folder that Node runs, with its arguments. */
const START = {
  next: (port: number) => ['node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1', '-p', `${port}`],
  sveltekit: () => ['build'],
  'react-router': () => ['node_modules/@react-router/serve/bin.cjs', 'build/server/index.js'],
} as const

/** The databases whose driver an example has; the first of this run is used. */
export const DATABASES: Readonly<Record<ExampleName, readonly TestDatabaseName[]>> = {
  next: ['mariadb', 'mysql'],
  sveltekit: ['mysql', 'mariadb'],
  'react-router': ['postgresql'],
}

const QUIET = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']

export type ExampleName = keyof typeof START

export const exampleNames = Object.keys(START) as ExampleName[]

/** Of the example's own programs: no variable of the tests reaches them. */
const env = {
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  HOME: process.env.HOME,
  NODE_ENV: 'production',
  NEXT_TELEMETRY_DISABLED: '1',
  NO_COLOR: '1',
  CI: '1',
}

/**
 * Installs the example in a cache folder, by its lock file, with the packed package beside it, and runs its own
 * `npm run build`. No setting is known while it builds. Returns the folder.
 */
export async function buildExample(name: ExampleName, tarball: string): Promise<string> {
  const source = join(projectFolder, 'examples', name)
  const folder = join(cacheFolder, 'examples', name)
  const lock = await readFile(join(source, 'package-lock.json'), 'utf8')
  const stamp = join(folder, 'node_modules/installed.txt')
  const npm = (...args: string[]) =>
    execute('npm', [...args, ...QUIET], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } })
  await mkdir(folder, { recursive: true })
  for (const entry of await readdir(folder))
    if (entry !== 'node_modules') await rm(join(folder, entry), { recursive: true })
  await cp(source, folder, { recursive: true, filter: (path) => !/[/\\]node_modules$/.test(path) })
  if ((await readFile(stamp, 'utf8').catch(() => '')) !== lock) await npm('ci')
  // A bundler leaves a package out of the bundle when package.json names it, as a user's does.
  await npm('install', tarball)
  await writeFile(stamp, lock)
  await execute('npm', ['run', '--silent', 'build'], { cwd: folder, env })
  return folder
}

/** Runs the example's own `npm run check`, after it was built. Returns what it prints; '' when all types are right. */
export async function checkTypes(folder: string): Promise<string> {
  const checked = execute('npm', ['run', '--silent', 'check'], { cwd: folder, env })
  return checked.then(
    () => '',
    ({ stdout, stderr }: { stdout: string; stderr: string }) => `${stdout}${stderr}` || 'it failed',
  )
}

/** Starts a built example on a free port. Returns the URL, without a slash at the end, and what it wrote. */
export async function startExample(
  t: Scope,
  name: ExampleName,
  { folder, settings }: { folder: string; settings: Readonly<Record<string, string>> },
): Promise<{ url: string; log(): string }> {
  const port = await freePort()
  const program = spawn(...dyingWithUs(process.execPath, START[name](port)), {
    cwd: folder,
    env: {
      ...env,
      HOST: '127.0.0.1',
      PORT: `${port}`,
      // Of SvelteKit, which takes all for HTTPS without the first, and refuses forms above 512 kB without the other.
      PROTOCOL_HEADER: 'x-forwarded-proto',
      BODY_SIZE_LIMIT: '3M',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [program.stdout, program.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-100_000)
    })
  const ended = once(program, 'exit')
  t.teardown(async () => {
    program.kill('SIGKILL')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  await until(`${name} answers`, async () => {
    if (program.exitCode !== null) throw new Error(`${name} did not start:\n${log}`)
    return fetch(`${url}/token`).then(
      (response) => response.text().then(() => true),
      () => false,
    )
  })
  return { url, log: () => log }
}
