import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import type { Knex } from 'knex'
import { createSessionCodec, type SessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { type AppOptions, createApp } from '../../src/service/app.ts'
import { openDatabase } from '../../src/service/database/open-database.ts'
import {
  type DjangoMiddleware,
  type DjangoMiddlewareOptions,
  openDjangoMiddleware,
} from '../../src/service/django-middleware.ts'
import type { Log, LogFields } from '../../src/service/monitoring/log.ts'
import { createCatalog } from '../../src/service/pages/catalog.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import { createTestDatabase, type TestDatabaseName } from './databases.ts'
import type { Scope } from './file-scope.ts'

const SECRET_KEY = 'a-secret-key-for-tests-0123456789-abcdefghijklmnop'
const DJANGO_VERSION = '5.2'

/** A Knex on this DATABASE_URL, as the service opens it. */
export function openUrl(t: Scope, url: string): Knex {
  const settings = readSettings({ DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY }, { cwd: tmpdir() })
  const db = openDatabase(settings.database)
  t.teardown(() => db.destroy())
  return db
}

/** Opens a database for one test, with LocalLibrary's tables, all empty. */
export async function openLibrary(t: Scope, name: TestDatabaseName = 'sqlite'): Promise<Knex> {
  const { url } = await createTestDatabase(t, name, { tables: 'library' })
  return openUrl(t, url)
}

export interface Library {
  /** Of the site, without a slash at the end. */
  url: string
  db: Knex
  log: RecordedLog
  /** Reads and writes `session_data`. */
  codec: SessionCodec
}

/** Starts our site on a database for one test. */
export async function startLibrary(
  t: Scope,
  {
    database = 'sqlite',
    session,
    app,
  }: {
    database?: TestDatabaseName
    session?: Partial<DjangoMiddlewareOptions>
    app?: (db: Knex, django: DjangoMiddleware) => Partial<AppOptions>
  } = {},
): Promise<Library> {
  const db = await openLibrary(t, database)
  const log = recordLog()
  const secretKeys = [SECRET_KEY] as const
  const profile = versionProfile(DJANGO_VERSION)
  const django = openDjangoMiddleware({ db, secretKeys, profile, conflictTimeout: 30_000, ...session })
  const koa = createApp({
    sessionMiddleware: django.middleware,
    catalog: createCatalog({ db }),
    ping: async () => void (await db.raw('SELECT 1')),
    log,
    trustedProxy: [],
    environment: 'production',
    version: '1.2.3',
    ...app?.(db, django),
  })
  const codec = createSessionCodec({ secretKeys, profile, now: () => new Date() })
  return { url: await listen(t, koa.callback()), db, log, codec }
}

/** Resolves once a request has its session: what else its page needs is asked for at the same time. */
export function sessionLookup(db: Knex): Promise<void> {
  return new Promise((resolve) => db.once('query-response', () => setImmediate(resolve)))
}

/** Serves on a free port until the test ends. Returns the URL, without a slash at the end. */
export async function listen(t: Scope, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  server.keepAliveTimeout = 60_000 // A test waits long on a busy machine, and fetch does not try a POST again.
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export interface RecordedLog extends Log {
  readonly events: { level: keyof Log; event: string; fields: LogFields }[]
  /** The fields of the first event of this name, past or to come. */
  next(event: string): Promise<LogFields>
}

export function recordLog(): RecordedLog {
  const events: RecordedLog['events'] = []
  const waiting: { event: string; resolve: (fields: LogFields) => void }[] = []
  const record =
    (level: keyof Log) =>
    (event: string, fields: LogFields = {}) => {
      events.push({ level, event, fields })
      for (const waiter of waiting) if (waiter.event === event) waiter.resolve(fields)
    }
  return {
    events,
    next: (event) =>
      new Promise((resolve) => {
        const past = events.find((one) => one.event === event)
        if (past !== undefined) resolve(past.fields)
        else waiting.push({ event, resolve })
      }),
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
  }
}
