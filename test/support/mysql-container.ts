import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import { execute, findExecutable } from './executables.ts'
import type { NetworkServer } from './servers.ts'

/** A server in a container. */
export type ContainerServer = NetworkServer & {
  /** The container's name. */
  readonly name: string
}

export interface ContainerOptions {
  /** Options of `mysqld` from its first start on. */
  readonly flags: readonly string[]
  /** Options of `mysqld` that would keep it from being set up, such as `--super-read-only`; `--name` or `--name=value`. */
  readonly extraArguments?: readonly string[]
  /** Folders with files that `extraArguments` name; the container gets copies under the same paths. */
  readonly folders?: readonly string[]
  readonly port: number
}

const IMAGE = 'mysql:8.4'

/** The containers that must not outlive this process, and whether Docker has created each. */
const containers = new Map<string, { isCreated: boolean }>()
process.once('exit', () => {
  for (const [name, { isCreated }] of containers) removeNow(name, { isCreated })
})

/** Whether a container engine runs here. */
export async function dockerAnswers(): Promise<boolean> {
  if (findExecutable(['docker']) === null) return false
  return docker('version', '--format', '{{.Server.Version}}').then(
    () => true,
    () => false,
  )
}

/**
 * Starts MySQL in a container, which ends with this process.
 * @throws Error with the last lines of the container's log when it ends instead.
 */
export async function startMysqlContainer({
  flags,
  extraArguments = [],
  folders = [],
  port,
}: ContainerOptions): Promise<ContainerServer> {
  const name = `koa-django-sessions-test-${process.pid}-${randomBytes(4).toString('hex')}`
  const url = `mysql://root@127.0.0.1:${port}`
  await docker('image', 'inspect', IMAGE).catch(() => docker('pull', '-q', IMAGE))
  const container = { isCreated: false }
  containers.set(name, container)

  async function stop(): Promise<void> {
    await docker('rm', '-f', '-v', name)
    containers.delete(name)
  }

  try {
    await create(name, { port, flags })
    container.isCreated = true
    await docker('start', name)
    await answers(url, name)
    if (extraArguments.length > 0) {
      for (const folder of folders) await addFolder(name, folder)
      await addOptions(name, extraArguments)
      await docker('restart', name)
      await answers(url, name)
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    name,
    port,
    url,
    kill: async () => void (await docker('kill', name)),
    async restart() {
      await docker('kill', name).catch(() => {}) // It may have ended already.
      await docker('start', name)
      await answers(url, name)
    },
    stop,
  }
}

async function create(
  name: string,
  { port, flags }: Pick<ContainerOptions, 'port' | 'flags'>,
): Promise<void> {
  await docker(
    ...['create', '--name', name, '-p', `127.0.0.1:${port}:3306`],
    ...['-e', 'MYSQL_ALLOW_EMPTY_PASSWORD=1', '-e', 'MYSQL_INITDB_SKIP_TZINFO=1'],
    ...[IMAGE, ...flags],
  )
}

async function addFolder(name: string, folder: string): Promise<void> {
  await docker('exec', name, 'mkdir', '-p', folder)
  await docker('cp', `${folder}/.`, `${name}:${folder}`)
  await docker('exec', name, 'chown', '-R', 'mysql', folder)
}

/** Writes a file of options, which the server reads at its next start. */
async function addOptions(name: string, options: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'mysql-options-'))
  try {
    const file = join(folder, 'extra.cnf')
    const lines = options.map((option) => option.replace(/^--/, ''))
    await writeFile(file, `[mysqld]\n${lines.join('\n')}\n`, { mode: 0o644 })
    await docker('cp', file, `${name}:/etc/mysql/conf.d/extra.cnf`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** ER_SECURE_TRANSPORT_REQUIRED */
const TLS_REQUIRED = 3159

/** Waits, two minutes at most, until the server answers a query. @throws Error when the container has ended. */
async function answers(url: string, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await mysql.createConnection(url)
      await connection.query('SELECT 1')
      return await connection.end()
    } catch (error) {
      if (error instanceof Error && 'errno' in error && error.errno === TLS_REQUIRED) return
      const isRunning = (await docker('inspect', '-f', '{{.State.Running}}', name)).trim() === 'true'
      if (!isRunning) throw new Error(`The container ended: ${await lastLines(name)}`)
      if (attempt === 240) throw error
      await sleep(500)
    }
  }
}

async function lastLines(name: string): Promise<string> {
  const { stdout, stderr } = await execute('docker', ['logs', '--tail', '5', name])
  return `${stdout}${stderr}`.trim()
}

async function docker(...args: readonly string[]): Promise<string> {
  return (await execute('docker', args)).stdout
}

/** Removes a container from an exit handler, where nothing can be awaited. */
function removeNow(name: string, { isCreated }: { isCreated: boolean }): void {
  // `docker create` goes on without us: its container may appear a moment later.
  for (let attempt = 1; attempt <= (isCreated ? 1 : 50); attempt++) {
    try {
      execFileSync('docker', ['container', 'inspect', name], { stdio: 'ignore' })
      execFileSync('docker', ['rm', '-f', '-v', name], { stdio: 'ignore' })
      return
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
    }
  }
}
