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
import { cacheFolder, projectFolder, siteFolder } from '../test/support/places.ts'
import { processTree } from './usage.ts'

/** Of all targets, so that those on Django's rows can read each other's. */
export const SECRET_KEY = 'of a benchmark 0123456789 abcdefghijklmnopqrstuvwxyz'

/** The Django that is measured, and whose rows the others write. */
export const DJANGO = '5.2'

export interface Target {
  readonly name: string
  /** `part`: the floor with one part that ours has. */
  readonly kind: 'ours' | 'django' | 'peer' | 'floor' | 'part'
  /** Django's own rows, signed and compressed; else a table of the peer's, and the column that holds its JSON. */
  readonly rows: 'django' | { readonly table: string; readonly key: string; readonly column: string }
  start(scope: Scope, databaseUrl: string): Promise<RunningTarget>
}

export interface RunningTarget {
  readonly port: number
  /** Its processes. */
  pids(): readonly number[]
  /** What it has printed so far. */
  output(): string
  stop(): Promise<void>
}

/** What a user would choose between, ours first. */
export const TARGETS: readonly Target[] = [
  { name: 'koa-django-sessions', kind: 'ours', rows: 'django', start: startOurs },
  { name: 'Django, gunicorn 2 × 4 threads', kind: 'django', rows: 'django', start: startGunicorn },
  peer('express, connect-session-knex', 'connect-session-knex.ts', {
    table: 'knex_sessions',
    key: 'sid',
    column: 'sess',
  }),
  peer('express, express-mysql-session', 'express-mysql-session.ts', {
    table: 'mysql_sessions',
    key: 'session_id',
    column: 'data',
  }),
  peer('koa, koa-session on Django’s rows', 'koa-session.ts', 'django'),
  peer('fastify, @fastify/session', 'fastify-session.ts', {
    table: 'fastify_sessions',
    key: 'session_id',
    column: 'data',
  }),
  { ...peer('floor: node:http, mysql2', 'floor.ts', 'django'), kind: 'floor' },
  { ...peer('floor with Knex’s pool, texts as ours', 'floor-knex-text.ts', 'django'), kind: 'part' },
  { ...peer('floor with Knex’s builder', 'floor-knex.ts', 'django'), kind: 'part' },
  { ...peer('floor with Nunjucks', 'floor-nunjucks.ts', 'django'), kind: 'part' },
]

function peer(name: string, file: string, rows: Target['rows']): Target {
  const script = fileURLToPath(new URL(`targets/${file}`, import.meta.url))
  return {
    name,
    kind: 'peer',
    rows,
    start: (scope, databaseUrl) =>
      startServer(scope, process.execPath, [script], {
        env: { DATABASE_URL: databaseUrl, SECRET_KEY, NODE_ENV: 'production' },
        port: (output) => /^(\d+)$/m.exec(output)?.[1],
      }),
  }
}

/** Where our service is bundled for the benchmark, as `npm run build` does it. */
export const BUNDLE: string = join(cacheFolder, 'bundle-of-bench')

export interface OursOptions {
  readonly cwd?: string
  /** What Node is to run: the bundle unless given. */
  readonly main?: string
}

/**
 * The real service, started as docs/operations.md says for a supervisor, its log and metrics on; without a URL on its
 * embedded demo.
 */
export function startOurs(
  scope: Scope,
  databaseUrl: string | null,
  { cwd, main = join(BUNDLE, 'main.js') }: OursOptions = {},
): Promise<RunningTarget> {
  const site = { DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: DJANGO, ALLOWED_HOSTS: '127.0.0.1' }
  return startServer(scope, process.execPath, [...ourFlags(), main, 'serve'], {
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
    },
    port: (output) =>
      output.includes('"service.ready"') ? /"http:\/\/127.0.0.1:(\d+)\/catalog/.exec(output)?.[1] : undefined,
  })
}

/** Those that `npm start` gives to Node. */
function ourFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))
  return String(scripts.start).match(/--\S+/g) ?? []
}

const ANY_PORTS = { PORT: '0', METRICS_PORT: '0' } as const

async function startGunicorn(scope: Scope, databaseUrl: string): Promise<RunningTarget> {
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
        DATABASE_URL: databaseUrl,
      },
      port: (output) => (output.split('Booting worker').length > 2 ? String(port) : undefined),
    },
  )
  return server
}

interface ServerOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** The port that its output tells, once it does. */
  readonly port: (output: string) => string | undefined
}

/** Its output goes to a file, as a supervisor's would: nobody of the benchmark has to read it meanwhile. */
async function startServer(
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
