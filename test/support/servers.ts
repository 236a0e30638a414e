import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { dyingWithUs, execute, findExecutable } from './executables.ts'
import { freePort } from './free-port.ts'
import { startMysqlContainer } from './mysql-container.ts'
import { findDebianMysql, type MysqlProgram, moveUnlessThere } from './mysql-from-debian.ts'

/** A database server on 127.0.0.1 for one test. Its administrator needs no password. */
export interface DatabaseServer {
  readonly port: number
  /** A URL that names no database, e.g. `mysql://root@127.0.0.1:23456`. */
  readonly url: string
  /** The Unix socket: a file (MariaDB, MySQL), or the folder it is in (PostgreSQL). */
  readonly socket: string
  readonly pid: number
  /** Ends the server at once, as a crash would, with its connections. What was committed stays for `restart`. */
  kill(): Promise<void>
  /** Starts it again, on the same port with the same data; kills it first where it still runs. */
  restart(): Promise<void>
  /** Ends the server and removes its folder, unless the folder was given. */
  stop(): Promise<void>
}

/** A server that may be in a container: it is reached by its port alone. */
export type NetworkServer = Omit<DatabaseServer, 'socket' | 'pid'>

export interface ServerOptions {
  /** Default: a free port. */
  port?: number
  /** Default: a temporary folder. A folder that already holds a server's data is used as it is. */
  dir?: string
  extraArguments?: readonly string[]
  /** Folders with files that `extraArguments` name. */
  folders?: readonly string[]
}

/** Starts MariaDB. @throws Error when no mariadbd is installed. */
export function startMariadb(options?: ServerOptions): Promise<DatabaseServer> {
  return startServer(mariadb(), options)
}

/**
 * Starts MySQL where this run has it (TEST_MYSQL): in a container, or the installed one, or the one `npm test` unpacked.
 * @throws Error when there is none.
 */
export async function startMysql({ port, ...options }: ServerOptions = {}): Promise<NetworkServer> {
  if (process.env.TEST_MYSQL === 'container') {
    const { extraArguments = [], folders = [] } = options
    return startMysqlContainer({
      flags: mysqlFlags,
      extraArguments,
      folders,
      port: port ?? (await freePort()),
    })
  }
  const program = findMysql()
  if (program === null) throw new Error('No MySQL server is installed or unpacked; run `npm test` once')
  return startServer(mysqlServer(program), { ...options, ...(port !== undefined && { port }) })
}

/** Starts PostgreSQL, as an unprivileged user where we are root. @throws Error when it is not installed. */
export async function startPostgresql(options?: ServerOptions): Promise<DatabaseServer> {
  return startServer(await postgresql(), options)
}

export function findMariadbd(): string | null {
  return findExecutable(['mariadbd'])
}

/** The library that makes a mariadbd a node of a Galera cluster; null when it is not installed. */
export function findGalera(): string | null {
  const folders = ['/usr/lib/galera', '/usr/lib64/galera', '/usr/lib64/galera-4', '/usr/local/lib/galera']
  return folders.map((folder) => `${folder}/libgalera_smm.so`).find((file) => existsSync(file)) ?? null
}

/** The system's own MySQL, else the unpacked one. Debian's `mysqld` is MariaDB, so the program is asked. */
export function findMysql(): MysqlProgram | null {
  const installed = findExecutable(['mysqld'])
  if (
    installed !== null &&
    !execFileSync(installed, ['--version'], { encoding: 'utf8' }).includes('MariaDB')
  ) {
    return { command: [installed, '--no-defaults'], template: null }
  }
  return findDebianMysql()
}

/** The folder of initdb and postgres; null when PostgreSQL is not installed. */
export function findPostgresql(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const initdb = findExecutable(
    ['initdb'],
    versions.map((version) => join(debian, version, 'bin')),
  )
  return initdb === null ? null : dirname(initdb)
}

/** What differs between the three servers. */
interface ServerProgram {
  name: string
  /** Fills an empty folder with a new server's data. */
  initialize(dir: string): Promise<void>
  command(dir: string, port: number): readonly [string, ...string[]]
  /** What the server logs once it serves. */
  readyText: string
  /** Ends it at once. SIGKILL would leave PostgreSQL's connections and shared memory behind. */
  crash: NodeJS.Signals
  account: { uid: number; gid: number } | null
  url(port: number): string
  socket(dir: string): string
}

// The zone of no client, and not UTC: code that relies on the server's clock or zone fails its tests.
const SERVER_ZONE = { offset: '+05:30', name: 'Asia/Kolkata' }

const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []

/** What the tests ask of MySQL and MariaDB, wherever they run. */
const mysqlFlags: readonly string[] = [
  '--skip-name-resolve',
  '--skip-log-bin',
  '--max-connections=500',
  '--character-set-server=utf8mb4',
  `--default-time-zone=${SERVER_ZONE.offset}`,
  // What was committed survives the death of the server, not of the machine: no test needs more.
  '--innodb-flush-log-at-trx-commit=2',
  '--innodb-buffer-pool-size=64M',
  '--performance-schema=OFF',
]

const localMysqlFlags = (dir: string, port: number): string[] => [
  ...mysqlFlags,
  `--datadir=${dir}/data`,
  `--tmpdir=${dir}`,
  `--socket=${dir}/socket`,
  `--pid-file=${dir}/pid`,
  `--port=${port}`,
  '--bind-address=127.0.0.1',
  ...asRoot,
]

function mariadb(): ServerProgram {
  const mariadbd = findMariadbd()
  if (mariadbd === null) throw new Error('mariadbd is not installed (Debian: mariadb-server-core)')
  return {
    name: 'mariadb',
    // What mariadb-install-db does, without the package it is in.
    async initialize(dir) {
      const share = ['/usr/share/mysql', '/usr/share/mariadb', join(dirname(mariadbd), '../share/mysql')]
      const folder = share.find((each) => existsSync(join(each, 'mysql_system_tables.sql')))
      if (folder === undefined)
        throw new Error(`The SQL files of ${mariadbd} are in none of ${share.join(', ')}`)
      const names = ['system_tables', 'performance_tables', 'system_tables_data'].map(
        (name) => `mysql_${name}`,
      )
      const files = [...names, 'maria_add_gis_sp_bootstrap'].map((name) => join(folder, `${name}.sql`))
      const sql = await Promise.all(files.map((file) => readFile(file, 'utf8')))
      await mkdir(join(dir, 'data'))
      const flags = [
        '--no-defaults',
        '--bootstrap',
        `--datadir=${dir}/data`,
        `--tmpdir=${dir}`, // its own: at its start a server clears away what looks like another's temporary tables
        '--innodb-log-file-size=8M',
        ...asRoot,
      ]
      const bootstrap = spawn(mariadbd, flags, { stdio: ['pipe', 'ignore', 'pipe'] })
      const log = tail(bootstrap)
      bootstrap.stdin?.end(
        ['CREATE DATABASE mysql;', 'USE mysql;', 'SET @auth_root_socket=NULL;', ...sql].join('\n'),
      )
      const [code] = await once(bootstrap, 'close')
      if (code !== 0) throw new Error(`mariadbd --bootstrap failed:\n${log()}`)
    },
    command: (dir, port) => [
      mariadbd,
      '--no-defaults',
      ...localMysqlFlags(dir, port),
      '--innodb-flush-method=nosync',
    ],
    readyText: 'ready for connections',
    crash: 'SIGKILL',
    account: null,
    url: (port) => `mysql://root@127.0.0.1:${port}`,
    socket: (dir) => join(dir, 'socket'),
  }
}

function mysqlServer({ command, template }: MysqlProgram): ServerProgram {
  const [file, ...args] = command
  return {
    name: 'mysql',
    async initialize(dir) {
      if (template !== null) await cp(template, join(dir, 'data'), { recursive: true })
      else
        await execute(file, [
          ...args,
          '--initialize-insecure',
          `--datadir=${dir}/data`,
          `--tmpdir=${dir}`,
          ...asRoot,
        ])
    },
    command: (dir, port) => [
      file,
      ...args,
      ...localMysqlFlags(dir, port),
      '--mysqlx=OFF',
      `--init-file=${rootByAddress}`,
    ],
    readyText: 'ready for connections',
    crash: 'SIGKILL',
    account: null,
    url: (port) => `mysql://root@127.0.0.1:${port}`,
    socket: (dir) => join(dir, 'socket'),
  }
}

/** MySQL makes `root@localhost` only, which names no address when names are not resolved. */
const rootByAddress = join(import.meta.dirname, 'mysql-root.sql')

async function postgresql(): Promise<ServerProgram> {
  const programs = findPostgresql()
  if (programs === null) throw new Error('PostgreSQL is not installed (Debian: postgresql)')
  const account = await unprivilegedAccount()
  return {
    name: 'postgresql',
    async initialize(dir) {
      if (account !== null) await chown(dir, account.uid, account.gid)
      const flags = [
        '--auth=trust',
        '--username=postgres',
        '--encoding=UTF8',
        '--locale=C.UTF-8',
        '--no-sync',
      ]
      const initdb = spawn(join(programs, 'initdb'), [...flags, `--pgdata=${dir}/data`], {
        cwd: dir,
        stdio: ['ignore', 'ignore', 'pipe'],
        ...account,
      })
      const log = tail(initdb)
      const [code] = await once(initdb, 'close')
      if (code !== 0) throw new Error(`initdb failed:\n${log()}`)
    },
    command: (dir, port) => [
      join(programs, 'postgres'),
      ...['-D', `${dir}/data`, '-k', dir, '-h', '127.0.0.1', '-p', String(port), '-F'],
      ...['-c', 'max_connections=400', '-c', 'shared_buffers=64MB', '-c', 'full_page_writes=off'],
      ...['-c', `timezone=${SERVER_ZONE.name}`],
    ],
    readyText: 'database system is ready to accept connections',
    crash: 'SIGQUIT',
    account,
    url: (port) => `postgresql://postgres@127.0.0.1:${port}`,
    socket: (dir) => dir,
  }
}

/** PostgreSQL refuses to run as root. */
async function unprivilegedAccount(): Promise<ServerProgram['account']> {
  if (process.getuid?.() !== 0) return null
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all(['-u', '-g'].map((flag) => execute('id', [flag, name]).catch(() => null)))
    const [uid, gid] = ids.map((id) => (id === null ? Number.NaN : Number(id.stdout)))
    if (uid !== undefined && gid !== undefined && uid > 0 && gid > 0) return { uid, gid }
  }
  throw new Error('PostgreSQL needs a user other than root, and there is neither postgres nor nobody')
}

async function startServer(
  program: ServerProgram,
  { port: wantedPort, dir: wantedDir, extraArguments = [] }: ServerOptions = {},
): Promise<DatabaseServer> {
  const port = wantedPort ?? (await freePort())
  const dir = wantedDir ?? (await mkdtemp(join(tmpdir(), `${program.name}-`)))
  let server: ChildProcess | null = null
  const remove = () =>
    wantedDir === undefined ? rmSync(dir, { recursive: true, force: true, maxRetries: 20 }) : null
  const abandon = () => {
    server?.kill(program.crash)
    remove()
  }
  process.once('exit', abandon)

  async function launch() {
    const [file, ...args] = program.command(dir, port)
    server = spawn(...dyingWithUs(file, [...args, ...extraArguments], program.crash), {
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
      ...program.account,
    })
    await ready(server, program)
  }
  async function end(signal: NodeJS.Signals) {
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
    server.kill(signal)
    server.kill('SIGCONT') // A test may have stopped it.
    await once(server, 'exit')
  }
  async function stop() {
    await end(program.crash)
    process.off('exit', abandon)
    remove()
  }

  try {
    await chmod(dir, 0o755)
    if (!existsSync(join(dir, 'data'))) {
      if (program.account !== null) await chown(dir, program.account.uid, program.account.gid)
      await execute('cp', ['-a', await template(program), join(dir, 'data')])
    }
    await launch()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    url: program.url(port),
    socket: program.socket(dir),
    get pid() {
      return server?.pid ?? 0
    },
    kill: () => end(program.crash),
    async restart() {
      await end(program.crash)
      await launch()
    },
    stop,
  }
}

/** The data of a new server of this kind, made once in the run's temporary folder: a copy is much faster. */
async function template(program: ServerProgram): Promise<string> {
  const data = join(tmpdir(), `template-${program.name}`)
  if (existsSync(data)) return data
  const fresh = await mkdtemp(join(tmpdir(), `new-${program.name}-`))
  try {
    await chmod(fresh, 0o755)
    await program.initialize(fresh)
    await moveUnlessThere(join(fresh, 'data'), data)
    return data
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

/** Waits until the server says it serves. @throws Error with its last words if it ends instead. */
async function ready(server: ChildProcess, { name, readyText }: ServerProgram): Promise<void> {
  const log = tail(server)
  await new Promise<void>((resolve, reject) => {
    server.stderr?.on('data', () => log().includes(readyText) && resolve())
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`The ${name} server did not start:\n${log()}`)))
  })
}

/** Keeps the last 16 kB of what a program says on standard error. */
function tail(program: ChildProcess): () => string {
  let text = ''
  program.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-16_384)
  })
  return () => text
}
