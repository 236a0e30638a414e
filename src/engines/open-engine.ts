import { tmpdir } from 'node:os'
import type { Cache } from '../caches/cache.ts'
import type { CacheSettings } from '../caches/cache-settings.ts'
import { openCache } from '../caches/open-cache.ts'
import { createDateColumn, type DateColumn } from '../django/datetime.ts'
import type { ExpiryRules } from '../django/expiry.ts'
import {
  createSessionCodec,
  type SessionCodec,
  type SessionCodecOptions,
  UnreadableSession,
} from '../django/session-data.ts'
import { SESSION_ENGINES, type SessionEngineNeeds, type TableEngineNeeds } from '../django/session-engines.ts'
import type { SerializerName } from '../django/session-serializers.ts'
import type { SessionEngine } from '../session/engine.ts'
import type { SessionEvents } from '../session/events.ts'
import { tracedSync, traces } from '../session/tracing.ts'
import type { ClearRowsOptions } from '../sql/clear-rows.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import type { SqlDatabase } from '../sql/executor.ts'
import { retryRead } from '../sql/retry.ts'
import { createCacheEngine } from './cache.ts'
import { copyPrefixOf, createCachedDbEngine } from './cached-db.ts'
import { createDbEngine } from './db.ts'
import {
  createQsessionsColumns,
  createUserSessionsColumns,
  QSESSIONS_FACTS,
  type SessionColumns,
  type TableFacts,
  USER_SESSIONS_FACTS,
} from './extra-columns.ts'
import { openFiles } from './file.ts'
import { watchForeignTexts } from './foreign-texts.ts'
import {
  createTableInventory,
  createTablePlace,
  type ExpiringPlace,
  type SessionInventory,
} from './inventory.ts'
import { createRetryingEngine } from './retrying-engine.ts'
import { createSignedCookiesEngine, SIGNED_COOKIES_SALT } from './signed-cookies.ts'
import { createTableStates, type TableStates } from './table-states.ts'

/** Django's SESSION_ENGINE, and the settings that go with it. */
export interface SessionEngineOptions
  extends Pick<SessionCodecOptions, 'secretKeys' | 'profile' | 'maxInflatedBytes' | 'serializer'> {
  /** SESSION_ENGINE: Django's dotted path. */
  readonly engine: string
  /** The database of the sessions; null for engines without a table. */
  readonly db: SqlDatabase | null
  /** The table of sessions; null for the table of the engine. */
  readonly table: string | null
  /** The name of the site's own session store, if it has one; it is part of the salt. */
  readonly storeClass: string | null
  /** The table's further columns, unless the engine knows them. */
  readonly columns: SessionColumns | null
  /** SESSION_FILE_PATH, for the file engine; null for this machine's folder for temporary files. */
  readonly filePath: string | null
  /** SESSION_COOKIE_NAME; the names of the file engine's files begin with it. */
  readonly cookieName: string
  /** The entry of CACHES that SESSION_CACHE_ALIAS names, or a cache of your own; null for engines without a cache. */
  readonly cache: CacheSettings | Cache | null
  /** When a session expires; USE_TZ and TIME_ZONE are part of it. */
  readonly rules: ExpiryRules
  /** `DATABASES[…]['TIME_ZONE']` of `db`; default: UTC. */
  readonly databaseTimeZone?: string
  readonly now: () => Date
  /** For how long a statement with a transient failure is repeated, in milliseconds. */
  readonly timeout: number
  /** Listeners: `retry`, `cacheFailure` and `decode` happen here. */
  readonly events: SessionEvents
  /** Called once, for the first stored text that this process has not written. */
  readonly onForeign?: (() => void) | undefined
}

/** An engine that can be closed. */
export interface OpenedSessionEngine {
  readonly engine: SessionEngine
  /** How it stores a session's values, where SESSION_SERIALIZER does not decide it. */
  readonly serializer?: SerializerName
  /** Where its sessions expire without anything that deletes them; null where something does. */
  readonly expiring: ExpiringPlace | null
  /** All of its sessions; null for an engine whose sessions cannot be listed. */
  readonly inventory: SessionInventory | null
  /** Reads the states of many sessions at once; absent for an engine without a table. */
  readonly states?: TableStates
  /** Waits until the copies of deleted sessions are gone, for a process that ends soon after. */
  settle?(): Promise<void>
  /** Closes what was opened for it (not `db`, which its caller opened). Nothing may be running. */
  close(): Promise<void>
}

/**
 * The engine that Django's dotted path names, set up as Django sets it up.
 * @throws {TypeError} when the path is not a supported engine, or one of its settings is missing.
 */
export function openSessionEngine(options: SessionEngineOptions): OpenedSessionEngine {
  const needs = SESSION_ENGINES.get(options.engine)
  switch (needs?.keptIn) {
    case 'table':
      return needs.needsCache ? openCachedDb(options, needs) : openDb(options, needs)
    case 'cache':
      return openCacheAlone(options)
    case 'folder':
      return openFolder(options)
    case 'cookie':
      return openSignedCookies(options)
    case undefined: {
      const paths = [...SESSION_ENGINES.keys()].join(', ')
      throw new TypeError(`${JSON.stringify(options.engine)} is not a supported session engine; use ${paths}`)
    }
  }
}

/** What the tables of these packages hold beside Django's columns. */
const EXTRA_COLUMNS: Readonly<
  Record<
    SessionEngineNeeds['package'],
    { readonly columns: (dates: DateColumn) => SessionColumns; readonly facts: TableFacts } | null
  >
> = {
  django: null,
  'django-qsessions': { columns: createQsessionsColumns, facts: QSESSIONS_FACTS },
  'django-user-sessions': { columns: createUserSessionsColumns, facts: USER_SESSIONS_FACTS },
}

/** @param around see `ClearRowsOptions` */
function openDb(
  options: SessionEngineOptions,
  needs: TableEngineNeeds,
  around?: ClearRowsOptions['around'],
): OpenedSessionEngine {
  const { rules, databaseTimeZone, now, timeout, events } = options
  const table = options.table ?? needs.table
  const db = databaseOf(options)
  const dates = createDateColumn({ database: databaseKindOf(db), ...rules, databaseTimeZone })
  const codec = observedCodec(options)
  const known = EXTRA_COLUMNS[needs.package]
  const columns = options.columns ?? known?.columns(dates) ?? null
  const engine = createRetryingEngine(
    createDbEngine({
      db,
      codec,
      dates,
      now,
      table,
      ...(columns !== null && { columns }),
    }),
    { timeout, onRetry: events.retry },
  )
  // Its codec is not the observed one: what maintenance or a watch reads is not a visitor's request.
  const place = { db, table, codec: codecOf(options), dates, now }
  const inventory = createTableInventory({ ...place, facts: known?.facts ?? null, around })
  return {
    engine,
    expiring: inventory,
    inventory,
    states: createTableStates(place),
    close: nothingToClose,
  }
}

function openFolder(options: SessionEngineOptions): OpenedSessionEngine {
  const { filePath, cookieName, rules, now } = options
  const codec = observedCodec(options)
  const { engine, inventory } = openFiles({ path: filePath ?? tmpdir(), cookieName, codec, rules, now })
  return { engine, expiring: inventory, inventory, close: nothingToClose }
}

function openSignedCookies(options: SessionEngineOptions): OpenedSessionEngine {
  const { cookieName, profile, rules, now } = options
  const codec = observedCodec({
    ...options,
    // In every Django, also those that keep rows in another format.
    profile: { ...profile, reads: ['signed'], writes: 'signed' },
    salt: SIGNED_COOKIES_SALT,
    maxAge: rules.cookieAge,
  })
  const engine = createSignedCookiesEngine({ codec, cookieName, rules, now })
  return { engine, expiring: null, inventory: null, close: nothingToClose }
}

/** The longest wait of a request, in milliseconds, for a cache that it does not need. */
const REMOVAL_TIMEOUT = 500

function openCachedDb(options: SessionEngineOptions, needs: TableEngineNeeds): OpenedSessionEngine {
  const opened = openDb(options, needs, (keys, remove) => engine.invalidatingAll(keys, remove))
  const cache = cacheOf(options)
  const timeout = Math.min(options.timeout / 4, REMOVAL_TIMEOUT)
  const { events } = options
  const engine = createCachedDbEngine({
    engine: opened.engine,
    // A removal may be repeated whether or not the first took effect, as a read may; a busy table needs it.
    cache: { delete: (key) => retryRead(() => cache.delete(key), { timeout, onRetry: events.retry }) },
    timeout,
    keyPrefix: copyPrefixOf(needs),
    events,
  })
  return {
    ...opened,
    engine,
    settle: () => engine.settle(),
    async close() {
      await engine.close()
      await cache.close()
      await opened.close()
    },
  }
}

function openCacheAlone(options: SessionEngineOptions): OpenedSessionEngine {
  const { rules, now, timeout, events } = options
  const cache = observedCache(cacheOf(options), options)
  // Repeats transient failures of a database cache; other caches have none.
  const engine = createRetryingEngine(createCacheEngine({ cache, rules, now }), {
    timeout,
    onRetry: events.retry,
  })
  return {
    engine,
    serializer: holdsJson(options.cache) ? 'json' : 'pickle',
    expiring: expiringCache(options),
    inventory: null,
    close: () => cache.close(),
  }
}

/** The table of a DatabaseCache, which otherwise keeps expired entries up to its MAX_ENTRIES. */
function expiringCache(options: SessionEngineOptions): ExpiringPlace | null {
  const { db, rules, databaseTimeZone } = options
  if (options.cache === null || 'get' in options.cache) return null
  const { backend, location } = options.cache
  const [place = ''] = location
  if (/\.DatabaseCache$/.test(backend) && db !== null) {
    const dates = createDateColumn({ database: databaseKindOf(db), ...rules, databaseTimeZone })
    return createTablePlace({ db, dates, table: { table: place, key: 'cache_key', expiry: 'expires' } })
  }
  return null
}

/** Whether it is django-redis with its JSONSerializer. All other caches of Django pickle, whatever SESSION_SERIALIZER says. */
function holdsJson(cache: SessionEngineOptions['cache']): boolean {
  return cache !== null && 'options' in cache && /\bJSONSerializer$/.test(String(cache.options.SERIALIZER))
}

/** @throws {TypeError} without a cache. @throws {UnsupportedCache} */
function cacheOf({
  engine,
  cache,
  db,
  rules,
  databaseTimeZone,
  now,
  timeout,
  maxInflatedBytes,
}: SessionEngineOptions): Cache {
  if (cache === null) throw new TypeError(`the session engine ${engine} needs a cache; give it as \`cache\``)
  if ('get' in cache) return cache
  const kind = db === null ? null : databaseKindOf(db)
  const database =
    db === null || kind === null
      ? null
      : { db, kind, dates: createDateColumn({ database: kind, ...rules, databaseTimeZone }) }
  return openCache(cache, { database, now, timeout, maxInflatedBytes })
}

/** A cache that reports its failures. */
function observedCache(cache: Cache, { events }: SessionEngineOptions): Cache {
  const observed = async <R>(answer: Promise<R>): Promise<R> => {
    try {
      return await answer
    } catch (error) {
      if (!(error instanceof UnreadableSession)) events.cacheFailure({ error, owed: 0, givenUp: 0 })
      throw error
    }
  }
  return {
    ...cache,
    get: (...parameters) => observed(cache.get(...parameters)),
    add: (...parameters) => observed(cache.add(...parameters)),
    replace: (...parameters) => observed(cache.replace(...parameters)),
    delete: (...parameters) => observed(cache.delete(...parameters)),
    remove: (...parameters) => observed(cache.remove(...parameters)),
  }
}

type CodecOptions = SessionEngineOptions & Pick<SessionCodecOptions, 'salt' | 'maxAge'>

function codecOf({ storeClass, ...options }: CodecOptions): SessionCodec {
  return createSessionCodec({ ...options, ...(storeClass !== null && { storeClass }) })
}

/** A codec that reports what it has read. */
function observedCodec(options: CodecOptions): SessionCodec {
  const { events, onForeign } = options
  const plain = codecOf(options)
  const codec = onForeign === undefined ? plain : watchForeignTexts(plain, onForeign)
  return {
    ...codec,
    decode(sessionData) {
      const decoded = tracedSync(
        traces.decode,
        () => ({ size: sessionData.length }),
        () => codec.decode(sessionData),
        ({ format, keyIndex }) => ({ format, keyIndex }),
      )
      events.decode(decoded)
      return decoded
    },
  }
}

/** @throws {TypeError} without a database. */
function databaseOf({ engine, db }: SessionEngineOptions): SqlDatabase {
  if (db === null)
    throw new TypeError(`the session engine ${engine} needs a database; give its pool or Knex as \`db\``)
  return db
}

async function nothingToClose(): Promise<void> {}
