import { text } from 'node:stream/consumers'
import Koa from 'koa'
import { djangoSessions } from '../../src/adapters/koa/django-sessions.ts'
import { NotSerializable, parseObject, parseValue, stringifyValue } from '../../src/django/json.ts'
import type { Session } from '../../src/session/session.ts'
import type { DjangoSessionsOptions } from '../../src/site/site-options.ts'
import { connect } from '../engines/db-under-test.ts'
import { createTestDatabase, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import { type RunningService, startService } from '../support/service.ts'

export const secretKey = 'a key of Django and of ours, from the tests: 비밀#$%'

/** Every Django on MariaDB (or MySQL) and SQLite; the oldest and the newest on the other databases too. */
export const meetings: readonly { version: string; database: TestDatabaseName }[] = testDatabases.flatMap(
  (database) => {
    const isMain = database === 'sqlite' || database === testDatabases[0]
    const versions = isMain
      ? djangoVersions
      : djangoVersions.filter((_, at, { length }) => at % (length - 1) === 0)
    return versions.map((version) => ({ version, database }))
  },
)

const TURNS = 4
let taken = 0
const waiting: (() => void)[] = []

/** Limits the number of simultaneous tests of this file, since each starts several processes. */
export async function takeTurn(t: Scope): Promise<void> {
  if (taken === TURNS) await new Promise<void>((resolve) => waiting.push(resolve))
  else taken += 1
  t.teardown(() => {
    const next = waiting.shift()
    if (next === undefined) taken -= 1
    else next()
  })
}

export interface Sites {
  readonly databaseUrl: string
  /** Without a trailing slash. */
  readonly django: string
  readonly ours: string
  readonly service: RunningService
}

/** Django's LocalLibrary and our service on one database, with the same settings. */
export async function startSites(
  t: Scope,
  {
    version,
    database,
    settings = {},
    env = {},
    migrate = false,
  }: {
    version: string
    database: TestDatabaseName
    /** Settings of both sides, which have the same names. */
    settings?: Readonly<Record<string, string>>
    /** Further settings, only for ours. */
    env?: Readonly<Record<string, string>>
    /** Whether this Django creates its tables; otherwise those of Django 5.2 are used. */
    migrate?: boolean
  },
): Promise<Sites> {
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: migrate ? 'none' : 'library' })
  const django = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate })
  const service = await startService(t, {
    env: serviceEnvironment({ version, databaseUrl, settings: { ...settings, ...env } }),
  })
  return { databaseUrl, django: django.url, ours: service.url, service }
}

/** The environment of our service for a Django test site. */
export function serviceEnvironment({
  version,
  databaseUrl,
  settings = {},
}: {
  version: string
  databaseUrl: string
  settings?: Readonly<Record<string, string>>
}): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: version,
    USE_TZ: 'true',
    TIME_ZONE: 'UTC',
    ...settings,
  }
}

/**
 * A Koa site of a library user, on the database of a Django site, with Django's `/_test/session`: GET shows the
 * session as JSON (a value that only a pickle can contain as null), POST sets each item of a JSON object, DELETE flushes it.
 */
export async function startKoa(
  t: Scope,
  {
    databaseUrl,
    version,
    during = () => {},
    ...options
  }: Omit<Partial<DjangoSessionsOptions>, 'db'> & {
    databaseUrl: string
    version: string
    /** Runs in each request after the session was loaded, before it is changed. */
    during?: (session: Session) => unknown
  },
): Promise<string> {
  const db = connect(databaseUrl)
  t.teardown(() => db.destroy())
  const sessions = djangoSessions({
    db,
    secretKeys: [secretKey],
    djangoVersion: version,
    conflictTimeout: 30_000,
    ...options,
  })
  t.teardown(() => sessions.close())
  const app = new Koa()
  app.silent = true
  app.use(async function badRequest(ctx, next) {
    try {
      await next()
    } catch (error) {
      if (!(error instanceof Error && error.name === 'SessionInterrupted')) throw error
      ctx.status = 400
    }
  })
  app.use(sessions)
  app.use(async function testSession(ctx) {
    const session = await ctx.session.load()
    await during(session)
    if (ctx.method === 'POST') {
      for (const [key, json] of parseObject(await text(ctx.req))) session.set(key, parseValue(json))
    }
    if (ctx.method === 'DELETE') await session.flush()
    ctx.type = 'json'
    ctx.body = `{${session.items().map(([key, value]) => `${stringifyValue(key)}:${shown(value)}`)}}`
  })
  return listen(t, app.callback())
}

function shown(value: unknown): string {
  try {
    return stringifyValue(value)
  } catch (error) {
    if (error instanceof NotSerializable) return 'null'
    throw error
  }
}
