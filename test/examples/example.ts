import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dyingWithUs, execute } from '../support/executables.ts'
import type { Scope } from '../support/file-scope.ts'
import { freePort } from '../support/free-port.ts'
import { cacheFolder, projectFolder } from '../support/places.ts'
import { until } from '../support/until.ts'

/** How an example is built and started: files of its folder that Node runs, with their arguments. */
const EXAMPLES = {
  next: {
    build: ['node_modules/next/dist/bin/next', 'build'],
    start: (port: number) => ['node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1', '-p', `${port}`],
  },
  sveltekit: {
    build: ['node_modules/vite/bin/vite.js', 'build'],
    start: () => ['build'],
  },
  'react-router': {
    build: ['node_modules/@react-router/dev/bin.cjs', 'build'],
    start: () => ['node_modules/@react-router/serve/bin.cjs', 'build/server/index.js'],
  },
} as const

const QUIET = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']

export type ExampleName = keyof typeof EXAMPLES

export const exampleNames = Object.keys(EXAMPLES) as ExampleName[]

/** Of the example's own programs: no variable of the tests reaches them. */
const env = {
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  NODE_ENV: 'production',
  NEXT_TELEMETRY_DISABLED: '1',
  NO_COLOR: '1',
  CI: '1',
}

/**
 * Installs the example in a cache folder, by its lock file, with the packed package beside it, and builds it there. No
 * setting is known while it builds. Returns the folder.
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
  await execute(process.execPath, [...EXAMPLES[name].build], { cwd: folder, env })
  return folder
}

/** Starts a built example on a free port. Returns the URL, without a slash at the end, and what it wrote. */
export async function startExample(
  t: Scope,
  name: ExampleName,
  { folder, settings }: { folder: string; settings: Readonly<Record<string, string>> },
): Promise<{ url: string; log(): string }> {
  const port = await freePort()
  const program = spawn(...dyingWithUs(process.execPath, EXAMPLES[name].start(port)), {
    cwd: folder,
    env: {
      ...env,
      HOST: '127.0.0.1',
      PORT: `${port}`,
      PROTOCOL_HEADER: 'x-forwarded-proto', // of SvelteKit, which takes all for HTTPS without it
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
