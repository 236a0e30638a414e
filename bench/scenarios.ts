import type { BenchDatabase, LibrarySize } from './library.ts'
import type { SessionEngineName, Target } from './targets.ts'

/** What visitors do, with how much data, and where the data is kept. */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly database: BenchDatabase
  /** The last part of SESSION_ENGINE. With `cached_db` and `cache`, Redis is the cache. */
  readonly engine: SessionEngineName
  readonly size: LibrarySize
  /**
   * `many`: each request uses a random one of many sessions; `hot`: all use the same; `new`: no request has a cookie;
   * `logged-in`: many sessions of logged-in users with permissions, for whom a message waits at each request.
   */
  readonly visitors: 'many' | 'hot' | 'new' | 'logged-in'
  /** Bytes of JSON in a session, besides its number of visits. */
  readonly payload: number
  readonly connections: number
  /** Processes of each target, except Django, which has two workers. */
  readonly processes: 1 | 2
  /** The factor by which a round is longer and there are fewer, where the slowest target needs longer to answer. */
  readonly stretch: number
}

const USUAL = {
  database: 'mariadb',
  engine: 'db',
  size: 'small',
  visitors: 'many',
  payload: 0,
  connections: 16,
  processes: 1,
  stretch: 1,
} as const

const ALONE = { connections: 1 } as const
const MANY = { connections: 64, stretch: 2 } as const
const POSTGRESQL = { ...USUAL, database: 'postgresql' } as const
const LOGGED_IN = { ...USUAL, visitors: 'logged-in', stretch: 2 } as const
const HUGE = { ...USUAL, size: 'huge', stretch: 40 } as const

/** Those with the same place follow each other, because their processes end after the last of them. */
export const SCENARIOS: readonly Scenario[] = [
  { ...USUAL, name: 'returning-16', title: 'Returning sessions, 16 connections' },
  { ...USUAL, ...ALONE, name: 'returning-1', title: 'Returning sessions, 1 connection' },
  { ...USUAL, ...MANY, name: 'returning-64', title: 'Returning sessions, 64 connections' },
  { ...USUAL, name: 'returning-two', title: 'Returning sessions, two processes', processes: 2 },
  { ...USUAL, name: 'new', title: 'New visitors', visitors: 'new' },
  { ...USUAL, name: 'hot', title: 'One hot session', visitors: 'hot' },
  { ...USUAL, name: 'hot-two', title: 'One hot session, two processes', visitors: 'hot', processes: 2 },
  { ...USUAL, name: 'payload-1k', title: 'Sessions of 1 kB', payload: 1_000 },
  { ...USUAL, name: 'payload-100k', title: 'Sessions of 100 kB', payload: 100_000, stretch: 2 },
  { ...LOGGED_IN, name: 'logged-in-16', title: 'Logged-in visitors, 16 connections' },
  { ...LOGGED_IN, ...ALONE, name: 'logged-in-1', title: 'Logged-in visitors, 1 connection' },
  { ...USUAL, name: 'large', title: 'Library of 10,000 books, 50,000 copies', size: 'large', stretch: 6 },
  { ...HUGE, name: 'huge-16', title: 'Library of 100,000 books, 500,000 copies' },
  { ...HUGE, name: 'huge-64', title: 'The same library, 64 connections', connections: 64 },
  { ...POSTGRESQL, name: 'postgresql-16', title: 'Returning sessions, 16 connections' },
  { ...POSTGRESQL, ...ALONE, name: 'postgresql-1', title: 'Returning sessions, 1 connection' },
  { ...POSTGRESQL, ...MANY, name: 'postgresql-64', title: 'Returning sessions, 64 connections' },
  { ...POSTGRESQL, name: 'postgresql-hot', title: 'One hot session', visitors: 'hot' },
  {
    ...POSTGRESQL,
    name: 'postgresql-logged-in',
    title: 'Logged-in visitors, 16 connections',
    visitors: 'logged-in',
    stretch: 2,
  },
  { ...USUAL, name: 'sqlite-16', title: 'Returning sessions, 16 connections', database: 'sqlite' },
  { ...USUAL, ...ALONE, name: 'sqlite-1', title: 'Returning sessions, 1 connection', database: 'sqlite' },
  { ...USUAL, name: 'redis-cached_db', title: 'cached_db, 16 connections', engine: 'cached_db' },
  { ...USUAL, name: 'redis-cache', title: 'cache, 16 connections', engine: 'cache' },
]

/** Scenarios with the same place share the processes and the library. */
export function placeOf({ size, database, engine }: Scenario): string {
  return `${size} ${database} ${engine}`
}

/** The parts of the report. */
export const CHAPTERS = {
  mariadb: 'MariaDB',
  postgresql: 'PostgreSQL',
  sqlite: 'SQLite',
  redis: 'Redis',
} as const

export type Chapter = keyof typeof CHAPTERS

export function chapterOf({ database, engine }: Scenario): Chapter {
  return engine === 'db' ? database : 'redis'
}

/** The targets of a scenario. */
export function targetsOf(
  { database, engine, visitors }: Pick<Scenario, 'database' | 'engine' | 'visitors'>,
  targets: readonly Target[],
): readonly Target[] {
  return targets.filter(
    ({ databases, engines, hasLogin }) =>
      databases.includes(database) &&
      engines.includes(engine) &&
      (hasLogin === 'both' || (hasLogin === 'only') === (visitors === 'logged-in')),
  )
}

/** The number of sessions for `many`: enough that simultaneous requests rarely use the same one. */
export function sessionCount({ visitors, payload, size }: Scenario): number {
  if (visitors === 'hot') return 1
  if (payload >= 100_000) return 200
  if (visitors === 'logged-in') return 500
  return size === 'huge' ? 500 : 2000 // peers create each session by a visit, which takes 0.1 s there
}
