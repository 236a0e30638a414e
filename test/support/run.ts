/**
 * `npm test`: gets what the tests need, starts the servers once, runs AVA with the given arguments, stops the servers,
 * and prints the slowest files.
 *
 *   npm test                                 everything
 *   npm test -- test/django/json.test.ts     one file, with no more than it needs (needs.ts)
 *
 * With CI set, anything missing is a failure. Without CI, one MySQL-protocol server and one Django are enough.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { findBrowser } from './browser.ts'
import { bundleService } from './bundle.ts'
import { hasPython, prepareDjango, readyDjangoVersions } from './django-environments.ts'
import { startForkServers } from './django-processes.ts'
import { prepareDjangoTests } from './django-tests.ts'
import { execute, findExecutable, lastLine } from './executables.ts'
import { slowestFiles } from './file-times.ts'
import { dockerAnswers } from './mysql-container.ts'
import { unpackDebianMysql, whyNoDebianMysql } from './mysql-from-debian.ts'
import { type Need, needsOf } from './needs.ts'
import { prepareNodes } from './nodes.ts'
import { inCi, projectFolder } from './places.ts'
import * as servers from './servers.ts'
import { installSystemPackages } from './system-packages.ts'

type Server = Pick<servers.DatabaseServer, 'url' | 'stop'>

/** Something that cannot be got. In CI it ends the run; elsewhere it is a line of the output. */
class Missing extends Error {}

const say = (text: string) => console.log(`test: ${text}`)

let ava: ReturnType<typeof spawn> | null = null
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // While AVA runs, its end is ours. Before, the servers' own exit hooks suffice.
    process.exitCode = 128 + constants.signals[signal]
    if (ava === null) process.exit()
    ava.kill('SIGINT') // The only signal after which AVA ends its test processes.
  })
}

// All temporary files of the servers and the tests are in one folder, which is removed at the end.
const temporary = mkdtempSync(join(tmpdir(), 'tests-'))
chmodSync(temporary, 0o755) // PostgreSQL's user is another one.
process.env.TMPDIR = temporary
// Two folders below the project, whose templates the bundle reads.
const bundleFolder = join(projectFolder, `var/bundle-of-tests-${process.pid}`)
process.once('exit', () => {
  for (const folder of [temporary, bundleFolder])
    rmSync(folder, { recursive: true, force: true, maxRetries: 20 })
})

const args = process.argv.slice(2)
const needs = needsOf(args)
const running: Pick<Server, 'stop'>[] = []
try {
  const environment = await prepare()
  const times = join(temporary, 'file-times.jsonl')
  const code = await runAva(args, {
    ...environment,
    TEST_FILE_TIMES: times,
    NODE_COMPILE_CACHE: join(temporary, 'compile-cache'),
  })
  for (const line of slowestFiles(times)) say(line)
  process.exitCode ||= code
} catch (error) {
  console.error(error instanceof Missing ? `test: ${error.message}` : error)
  process.exitCode = 1
}
await Promise.all(running.map((server) => server.stop()))
process.exit() // Preparations that still run after a failure are not waited for.

/** Prepares what the test files need. Returns the environment that tells them where it is. */
async function prepare(): Promise<NodeJS.ProcessEnv> {
  const hasDocker = needs.has('databases') && (await dockerAnswers())
  await getSystemPackages(hasDocker)
  const [databases, django, , main] = await Promise.all([
    needs.has('databases') ? startDatabases(hasDocker) : {},
    needs.has('django') ? getDjango() : {},
    needs.has('nodes') ? getNodes() : {},
    needs.has('service') ? bundleService(bundleFolder) : undefined,
  ])
  if (needs.has('browser') && findBrowser() === null)
    lacks('browser', 'no Chromium or Chrome was found; the tests that need one will fail')
  return { ...databases, ...django, ...(main !== undefined && { TEST_MAIN: main }) }
}

/** The address of each server by the name of its database. */
async function startDatabases(hasDocker: boolean): Promise<NodeJS.ProcessEnv> {
  const found = await startServers(hasDocker)
  const names = Object.keys(found)
  if (!names.includes('mariadb') && !names.includes('mysql')) {
    throw new Missing('no MySQL or MariaDB server: start Docker, or install mariadb-server-core')
  }
  say(`databases ${[...names, 'sqlite'].join(', ')}`)
  return { TEST_SERVERS: JSON.stringify(found) }
}

async function getNodes(): Promise<void> {
  for (const { version, reason } of await prepareNodes(say)) lacks(`Node ${version}`, reason)
}

async function getSystemPackages(hasDocker: boolean): Promise<void> {
  const hasMysql = () =>
    servers.findMariadbd() !== null || (!inCi && (hasDocker || servers.findMysql() !== null))
  const packages: readonly [Need, string, () => boolean | Promise<boolean>][] = [
    ['databases', 'mariadb-server-core', hasMysql],
    ['databases', 'postgresql', () => servers.findPostgresql() !== null],
    ['galera', 'galera-4', () => servers.findGalera() !== null],
    ['redis', 'redis-server', () => findExecutable(['redis-server']) !== null],
    ['memcached', 'memcached', () => findExecutable(['memcached']) !== null],
    ['pgbouncer', 'pgbouncer', () => findExecutable(['pgbouncer']) !== null],
    ['openssl', 'openssl', () => findExecutable(['openssl']) !== null],
    ['browser', 'chromium', () => findBrowser() !== null],
    ['browser', 'fonts-noto-cjk', hasFontForChinese],
    ['django', 'tzdata', () => existsSync('/usr/share/zoneinfo')],
    ['django', 'python3-venv', hasPython],
  ]
  const wanted: string[] = []
  for (const [need, name, isThere] of packages) if (needs.has(need) && !(await isThere())) wanted.push(name)
  if (wanted.length === 0) return
  say(`installing ${wanted.join(' ')}`)
  await installSystemPackages(wanted).catch((error) => lacks(wanted.join(', '), lastLine(error)))
}

async function startServers(hasDocker: boolean): Promise<Record<string, string>> {
  const starts: [string, () => Promise<Server | null>][] = [
    ['mariadb', async () => (servers.findMariadbd() === null ? null : servers.startMariadb())],
    ['mysql', () => startMysql(hasDocker)],
    ['postgresql', async () => (servers.findPostgresql() === null ? null : servers.startPostgresql())],
  ]
  const started = await Promise.all(
    starts.map(async ([name, start]) => {
      const server = await start()
      if (server === null) return null
      running.push(server)
      return [name, server.url] as const
    }),
  )
  const found = Object.fromEntries(started.filter((each) => each !== null))
  for (const [name] of starts) {
    if (name !== 'mysql' && found[name] === undefined) lacks(name, 'its server is not installed')
  }
  return found
}

async function startMysql(hasDocker: boolean): Promise<Server | null> {
  if (hasDocker) {
    say('MySQL: starting the container mysql:8.4')
    process.env.TEST_MYSQL = 'container'
    try {
      return await servers.startMysql()
    } catch (error) {
      say(`MySQL: no container: ${lastLine(error)}`)
      delete process.env.TEST_MYSQL
    }
  }
  if (servers.findMysql() === null) {
    const reason = whyNoDebianMysql()
    if (reason !== null) {
      say(`MySQL: not tested here, MariaDB alone is: no Docker, no mysqld, and ${reason}`)
      return null
    }
    say("MySQL: unpacking Debian's into .cache/mysql")
    try {
      await unpackDebianMysql()
    } catch (error) {
      lacks('MySQL', lastLine(error))
      return null
    }
  }
  return servers.startMysql()
}

async function getDjango(): Promise<NodeJS.ProcessEnv> {
  for (const { version, reason } of await prepareDjango(say)) lacks(`Django ${version}`, reason)
  const versions = readyDjangoVersions()
  if (versions.length === 0) {
    throw new Missing('no Django: install Python 3.9 or newer with venv (Debian: python3-venv)')
  }
  say(`Django ${versions.join(', ')}`)
  if (needs.has('django-tests')) {
    for (const { version, reason } of await prepareDjangoTests(say))
      lacks(`the tests of Django ${version}`, reason)
  }
  const forkServers = await startForkServers()
  running.push(...forkServers)
  return {
    TEST_DJANGO: JSON.stringify(Object.fromEntries(forkServers.map((each) => [each.version, each.socket]))),
  }
}

function lacks(what: string, reason: string): void {
  if (inCi) throw new Missing(`${what}: ${reason}`)
  say(`${what}: not tested here: ${reason}`)
}

async function hasFontForChinese(): Promise<boolean> {
  if (process.platform !== 'linux') return true
  if (findExecutable(['fc-list']) === null) return false
  return (await execute('fc-list', [':lang=zh'])).stdout !== ''
}

async function runAva(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const cli = join(projectFolder, 'node_modules/ava/entrypoints/cli.js')
  ava = spawn(process.execPath, ['--import', new URL('tap-errors.ts', import.meta.url).href, cli, ...args], {
    cwd: projectFolder,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  const [code] = await once(ava, 'exit')
  return typeof code === 'number' ? code : 1
}
