import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pythonOf } from '../test/support/django-environments.ts'
import { dyingWithUs } from '../test/support/executables.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { freePort } from '../test/support/free-port.ts'
import { npmStartOptions } from '../test/support/npm-start.ts'
import { cacheFolder, siteFolder } from '../test/support/places.ts'
import type { BenchDatabase } from './library.ts'
import { processTree } from './usage.ts'

/** The secret key of all targets, so that those with Django's rows can read each other's sessions. */
export const SECRET_KEY = 'of a benchmark 0123456789 abcdefghijklmnopqrstuvwxyz'

/** The Django version that is measured, and whose row format the others write. */
export const DJANGO = '5.2'

/** The last part of a SESSION_ENGINE. */
export type SessionEngineName = 'db' | 'cached_db' | 'cache'

export interface Target {
  readonly name: string
  readonly kind: 'ours' | 'django' | 'peer' | 'floor'
  /** Django's rows, signed and compressed; or the peer's own table, with the column of its JSON. */
  readonly rows: 'django' | { readonly table: string; readonly key: string; readonly column: string }
  /** Where it is measured. */
  readonly databases: readonly BenchDatabase[]
  readonly engines: readonly SessionEngineName[]
  /** Whether its page knows logged-in visitors: `both` kinds, `only` them, or `none`. */
  readonly hasLogin: 'both' | 'only' | 'none'
  start(scope: Scope, site: SiteToServe): Promise<RunningTarget>
}

/** The data of a scenario. */
export interface SiteToServe {
  readonly databaseUrl: string
  readonly engine: SessionEngineName
  /** E.g. `redis://127.0.0.1:6379`; null with the engine `db`. */
  readonly redisUrl: string | null
}

export interface RunningTarget {
  readonly port: number
  /** The ids of its processes. */
  pids(): readonly number[]
  /** Its output so far. */
  output(): string
  stop(): Promise<void>
}

/** Django's kept sessions, and its settings: also those of the service. */
const DJANGO_SITE = {
  rows: 'django',
  databases: ['mariadb', 'postgresql', 'sqlite'],
  engines: ['db', 'cached_db', 'cache'],
  hasLogin: 'both',
} as const

const MYSQL_TABLE = { key: 'session_id', column: 'data' } as const
const POSTGRESQL_TABLE = { key: 'sid', column: 'sess' } as const
const PASSPORT = { databases: ['mariadb', 'postgresql'], hasLogin: 'only' } as const
/** Redis has no rows; no scenario on it has a payload. */
const ON_REDIS = { engines: ['cached_db', 'cache'] } as const
const NO_TABLE = { table: '', key: '', column: '' } as const

/** The alternatives of a user; the service comes first. */
export const TARGETS: readonly Target[] = [
  {
    ...DJANGO_SITE,
    name: 'koa-django-sessions',
    kind: 'ours',
    start: (scope, site) => startOurs(scope, site.databaseUrl, { env: sessionSettings(site) }),
  },
  // Not on SQLite, where simultaneous requests would fail (`database is locked`).
  {
    ...DJANGO_SITE,
    name: 'Django, gunicorn 2 × 4 threads',
    kind: 'django',
    databases: ['mariadb', 'postgresql'],
    start: startGunicorn,
  },
  peer('express, connect-session-knex', 'connect-session-knex.ts', {
    table: 'knex_sessions',
    key: 'sid',
    column: 'sess',
  }),
  peer('express, express-mysql-session', 'express-mysql-session.ts', {
    ...MYSQL_TABLE,
    table: 'mysql_sessions',
  }),
  peer('koa, koa-session on Django’s rows', 'koa-session.ts', 'django'),
  peer('fastify, @fastify/session', 'fastify-session.ts', { ...MYSQL_TABLE, table: 'fastify_sessions' }),
  {
    ...peer('express, connect-pg-simple', 'connect-pg-simple.ts', {
      ...POSTGRESQL_TABLE,
      table: 'pg_sessions',
    }),
    databases: ['postgresql'],
  },
  {
    ...peer('fastify, @fastify/session, connect-pg-simple', 'fastify-session-postgresql.ts', {
      ...POSTGRESQL_TABLE,
      table: 'fastify_sessions',
    }),
    databases: ['postgresql'],
  },
  {
    ...peer('express, better-sqlite3-session-store', 'better-sqlite3-session-store.ts', {
      ...POSTGRESQL_TABLE,
      table: 'sessions',
    }),
    databases: ['sqlite'],
  },
  { ...peer('express, passport', 'passport.ts', NO_TABLE), ...PASSPORT },
  { ...peer('express, connect-redis', 'connect-redis.ts', NO_TABLE), ...ON_REDIS },
  { ...peer('fastify, @fastify/session, connect-redis', 'fastify-session-redis.ts', NO_TABLE), ...ON_REDIS },
  { ...peer('floor: node:http, mysql2', 'floor.ts', 'django'), kind: 'floor' },
]

function peer(name: string, file: string, rows: Target['rows']): Target {
  return {
    name,
    kind: 'peer',
    rows,
    databases: ['mariadb'],
    engines: ['db'],
    hasLogin: 'none',
    start: (scope, { databaseUrl, redisUrl }) =>
      startPeer(scope, file, { DATABASE_URL: databaseUrl, SECRET_KEY, REDIS_URL: redisUrl ?? '' }),
  }
}

/** Django's settings for the engine, as the environment of the service and of Django's site. */
export function sessionSettings({ engine, redisUrl }: SiteToServe): Record<string, string> {
  if (redisUrl === null) return {}
  return {
    SESSION_ENGINE: `django.contrib.sessions.backends.${engine}`,
    CACHES: JSON.stringify({
      default: { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: redisUrl },
    }),
  }
}

/** Starts a program in targets/, which prints its port. */
export function startPeer(
  scope: Scope,
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<RunningTarget> {
  const script = fileURLToPath(new URL(`targets/${file}`, import.meta.url))
  return startServer(scope, process.execPath, [script], {
    env: { ...env, NODE_ENV: 'production' },
    port: (output) => /^(\d+)$/m.exec(output)?.[1],
  })
}

/** The folder of the service's bundle for the benchmark, made as by `npm run build`. */
export const BUNDLE: string = join(cacheFolder, 'bundle-of-bench')

export interface OursOptions {
  readonly cwd?: string
  /** The file that Node runs. Default: the bundle. */
  readonly main?: string
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Starts the real service as docs/operations.md describes for a supervisor, with its log and metrics. Without a URL it uses
 * the embedded demo.
 */
export function startOurs(
  scope: Scope,
  databaseUrl: string | null,
  { cwd, main = join(BUNDLE, 'main.js'), env = {} }: OursOptions = {},
): Promise<RunningTarget> {
  const site = { DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: DJANGO, ALLOWED_HOSTS: '127.0.0.1' }
  return startServer(scope, process.execPath, [...npmStartOptions(), main, 'serve'], {
    ...(cwd !== undefined && { cwd }),
    env: {
      ...ANY_PORTS,
      ...(databaseUrl !== null && {
        ...site,
        DATABASE_URL: databaseUrl,
        USE_TZ: 'True',
        TIME_ZONE: 'UTC',
        NODE_ENV: 'production',
      }),
      ...env,
    },
    port: (output) =>
      output.includes('"service.ready"') ? /"http:\/\/127.0.0.1:(\d+)\/catalog/.exec(output)?.[1] : undefined,
  })
}

const ANY_PORTS = { PORT: '0', METRICS_PORT: '0' } as const

async function startGunicorn(scope: Scope, site: SiteToServe): Promise<RunningTarget> {
  const port = await freePort()
  const flags = ['--workers=2', '--threads=4', '--worker-class=gthread', '--keep-alive=60']
  const settings = fileURLToPath(new URL('targets/django', import.meta.url))
  const server = await startServer(
    scope,
    pythonOf(DJANGO),
    ['-m', 'gunicorn', ...flags, `--bind=127.0.0.1:${port}`, 'django.core.wsgi:get_wsgi_application()'],
    {
      cwd: siteFolder,
      env: {
        PYTHONPATH: `${siteFolder}:${settings}`,
        PYTHONDONTWRITEBYTECODE: '1',
        DJANGO_SETTINGS_MODULE: 'bench_settings',
        SECRET_KEY,
        DATABASE_URL: site.databaseUrl,
        ...sessionSettings(site),
      },
      port: (output) => (output.split('Booting worker').length > 2 ? String(port) : undefined),
    },
  )
  return server
}

interface ServerOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Finds the port in its output; undefined until it is printed. */
  readonly port: (output: string) => string | undefined
}

/** Starts a server with its output in a file, as under a supervisor, so that the benchmark need not read it meanwhile. */
export async function startServer(
  scope: Scope,
  program: string,
  args: readonly string[],
  { env, cwd, port }: ServerOptions,
): Promise<RunningTarget> {
  const folder = mkdtempSync(join(tmpdir(), 'target-'))
  const file = join(folder, 'output')
  const output = openSync(file, 'a')
  const child = spawn(...dyingWithUs(program, args), {
    cwd: cwd ?? folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', output, output],
  })
  const stop = () => end(child)
  scope.teardown(async () => {
    await stop()
    rmSync(folder, { recursive: true, force: true })
  })
  for (;;) {
    const text = readFileSync(file, 'utf8')
    const found = port(text)
    if (found !== undefined)
      return {
        port: Number(found),
        pids: () => processTree(child.pid ?? 0),
        output: () => readFileSync(file, 'utf8'),
        stop,
      }
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${args.join(' ')} ended:\n${text}`)
    await delay(20)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
