/**
 * `npm test`: gets what the tests need, starts the servers once, runs AVA with the given arguments, stops the servers.
 *
 *   npm test                                 everything
 *   npm test -- test/django/json.test.ts     one file
 *
 * With CI set, whatever is missing is a failure. Without, one MySQL-protocol server and one Django are enough.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { findBrowser } from './browser.ts'
import { hasPython, prepareDjango, readyDjangoVersions } from './django-environments.ts'
import { execute, findExecutable, lastLine } from './executables.ts'
import { dockerAnswers } from './mysql-container.ts'
import { unpackDebianMysql, whyNoDebianMysql } from './mysql-from-debian.ts'
import { prepareNodes } from './nodes.ts'
import { inCi, projectFolder } from './places.ts'
import * as servers from './servers.ts'
import { installSystemPackages } from './system-packages.ts'

type Server = Pick<servers.DatabaseServer, 'url' | 'stop'>

/** What cannot be had: in CI the end of the run, else a line of its output. */
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

// Everything temporary, of the servers and of the tests, is in one folder, which goes with us.
const temporary = mkdtempSync(join(tmpdir(), 'tests-'))
chmodSync(temporary, 0o755) // PostgreSQL's user is another one.
process.env.TMPDIR = temporary
process.once('exit', () => rmSync(temporary, { recursive: true, force: true, maxRetries: 20 }))

const running: Server[] = []
try {
  const addresses = await prepare()
  const code = await runAva(process.argv.slice(2), { TEST_SERVERS: JSON.stringify(addresses) })
  process.exitCode ||= code
} catch (error) {
  console.error(error instanceof Missing ? `test: ${error.message}` : error)
  process.exitCode = 1
}
await Promise.all(running.map((server) => server.stop()))
process.exit() // What still prepares itself after a failure is not waited for.

/** Gives the address of each server by the name of its database. */
async function prepare(): Promise<Record<string, string>> {
  const hasDocker = await dockerAnswers()
  await getSystemPackages(hasDocker)
  const [found] = await Promise.all([startServers(hasDocker), getDjango(), getNodes()])
  if (findBrowser() === null)
    lacks('browser', 'no Chromium or Chrome was found; the tests that need one will fail')
  const names = Object.keys(found)
  if (!names.includes('mariadb') && !names.includes('mysql')) {
    throw new Missing('no MySQL or MariaDB server: start Docker, or install mariadb-server-core')
  }
  if (readyDjangoVersions().length === 0) {
    throw new Missing('no Django: install Python 3.9 or newer with venv (Debian: python3-venv)')
  }
  say(`databases ${[...names, 'sqlite'].join(', ')}; Django ${readyDjangoVersions().join(', ')}`)
  return found
}

async function getNodes(): Promise<void> {
  for (const { version, reason } of await prepareNodes(say)) lacks(`Node ${version}`, reason)
}

async function getSystemPackages(hasDocker: boolean): Promise<void> {
  const hasMysql = servers.findMariadbd() !== null || (!inCi && (hasDocker || servers.findMysql() !== null))
  const wanted = [
    ...(hasMysql ? [] : ['mariadb-server-core']),
    ...(servers.findPostgresql() === null ? ['postgresql'] : []),
    ...(servers.findGalera() === null ? ['galera-4'] : []),
    ...(findExecutable(['redis-server']) === null ? ['redis-server'] : []),
    ...(findExecutable(['memcached']) === null ? ['memcached'] : []),
    ...(findExecutable(['pgbouncer']) === null ? ['pgbouncer'] : []),
    ...(findExecutable(['openssl']) === null ? ['openssl'] : []),
    ...(findBrowser() === null ? ['chromium'] : []),
    ...((await hasFontForChinese()) ? [] : ['fonts-noto-cjk']),
    ...(existsSync('/usr/share/zoneinfo') ? [] : ['tzdata']),
    ...((await hasPython()) ? [] : ['python3-venv']),
  ]
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

async function getDjango(): Promise<void> {
  for (const { version, reason } of await prepareDjango(say)) lacks(`Django ${version}`, reason)
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
  ava = spawn(process.execPath, [cli, ...args], {
    cwd: projectFolder,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  const [code] = await once(ava, 'exit')
  return typeof code === 'number' ? code : 1
}
