import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import { runSql } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { checkLoggedIn, checkTarget } from './check.ts'
import { type BenchDatabase, createLibrary, type LibrarySize } from './library.ts'
import { type LoadOptions, runLoad } from './load.ts'
import { placeOf, type Scenario, sessionCount } from './scenarios.ts'
import { makeSessions } from './sessions.ts'
import type { RunningTarget, SiteToServe, Target } from './targets.ts'
import { cpuSeconds, residentMegabytes, serverCpuSeconds } from './usage.ts'
import { visit } from './visit.ts'

/** What one target did in one scenario in one round. */
export interface Measurement {
  readonly scenario: string
  readonly target: string
  readonly round: number
  /** The measured time. */
  readonly seconds: number
  /** Milliseconds from the request to the answer, for each answer in the measured time. */
  readonly times: readonly number[]
  /** Milliseconds of CPU in the measured time: of the target's processes, and of the database with Redis. */
  readonly cpu: number
  readonly databaseCpu: number
  /** The number of all requests, also before and after the measured time. */
  readonly sent: number
  /** Those of them that were answered with a status other than 200. */
  readonly errors: number
  /** Statements for all requests, as the server counts them; PostgreSQL: transactions. NaN for SQLite. */
  readonly statements: number
  /** Resident memory of the target's processes at the end, in MiB. */
  readonly memory: number
  /** Answered visits that are missing in the session; null if this is not checked. */
  readonly lost: number | null
}

/** A database server of the targets, or their Redis. */
export interface ServerUnderLoad {
  readonly url: string
  /** Null if unknown, as in a container; then its CPU is unknown, too. */
  readonly pid: number | null
}

/** The servers that are measured. SQLite has none: it runs in the target's process. */
export type ServersUnderLoad = Partial<Record<BenchDatabase | 'redis', ServerUnderLoad>>

export interface Stage {
  /** @throws Error when the target does not show the expected page. */
  measure(
    target: Target,
    scenario: Scenario,
    options: { round: number; seconds: number },
  ): Promise<Measurement>
  /** Ends the processes of this place. The next measurement there starts new ones. */
  leave(place: string): Promise<void>
}

/**
 * Enough for the JIT compilers to finish; Python has none. With a larger library most time is spent in the database.
 */
const WARM_UP = { requests: 20_000, seconds: { small: 15, large: 1, huge: 1 }, django: 2 } as const

/**
 * The load before the measured time, as a part of it: until the slowest target answers, and because a process is slower after a
 * pause.
 */
const LEAD_IN = 0.4

/** Runs targets. Libraries, processes and sessions are created when first needed. */
export async function openStage(
  scope: Scope,
  { servers, warmsUp = true }: { servers: ServersUnderLoad; warmsUp?: boolean },
): Promise<Stage> {
  const libraries = createOnce((size: LibrarySize, database: BenchDatabase) =>
    createLibrary(scope, size, database),
  )
  const counters = createOnce(async (database: BenchDatabase, url: string) =>
    database === 'sqlite' ? async () => Number.NaN : openStatementCounter(scope, url),
  )
  const places = createOnce((_: Scenario) => Promise.resolve(openPlace()))

  /** What exists once for each target in a place. */
  function openPlace() {
    const started: RunningTarget[] = []
    return {
      started,
      processes: createOnce(async (target: Target, scenario: Scenario, isFirst: boolean) => {
        const site = await siteOf(scenario)
        const running = await target.start(scope, site)
        started.push(running)
        if (isFirst) await checkTarget(target, running, { ...site, size: scenario.size })
        return running
      }),
      sessions: createOnce(async (target: Target, running: RunningTarget, scenario: Scenario) => {
        const isLoggedIn = scenario.visitors === 'logged-in'
        const toMake = { count: sessionCount(scenario), payload: scenario.payload, isLoggedIn }
        const cookies = await makeSessions(target, running, { site: await siteOf(scenario), ...toMake })
        if (isLoggedIn) await checkLoggedIn(target, running, cookies[0] ?? '')
        return cookies
      }),
    }
  }

  async function siteOf({ size, database, engine }: Scenario): Promise<SiteToServe> {
    const redisUrl = engine === 'db' ? null : (servers.redis?.url ?? null)
    if (engine !== 'db' && redisUrl === null) throw new Error(`the engine ${engine} needs a Redis`)
    return { databaseUrl: await libraries(`${size} ${database}`, size, database), engine, redisUrl }
  }

  const warmed = new Set<RunningTarget>()

  async function warmUp(
    target: Target,
    running: readonly RunningTarget[],
    { size }: Scenario,
    cookie: () => string | null,
  ): Promise<void> {
    const cold = running.filter((one) => !warmed.has(one))
    if (cold.length === 0) return
    const ports = cold.map(({ port }) => port)
    const seconds = target.kind === 'django' ? WARM_UP.django : WARM_UP.seconds[size]
    let requests = 0
    for (let second = 0; second < seconds && requests < WARM_UP.requests; second += 1)
      requests += (await runLoad({ ports, connections: 16, seconds: 1, cookie })).sent
    for (const one of cold) warmed.add(one)
  }

  return {
    async measure(target, scenario, { round, seconds }) {
      const { name, database, engine, visitors, payload, connections, stretch } = scenario
      const { processes, sessions } = await places(placeOf(scenario), scenario)
      const count = target.kind === 'django' ? 1 : scenario.processes
      const running: RunningTarget[] = []
      for (let at = 0; at < count; at += 1)
        running.push(await processes(`${target.name} ${at}`, target, scenario, at === 0))
      const [first] = running
      if (first === undefined) throw new TypeError('a scenario must have at least one process')
      const cookies =
        visitors === 'new'
          ? []
          : await sessions(`${target.name} ${visitors} ${payload}`, target, first, scenario)
      const cookie = (): string | null => cookies[Math.floor(Math.random() * cookies.length)] ?? null
      if (warmsUp) await warmUp(target, running, scenario, cookie)

      const load = { connections, seconds: seconds * stretch, cookie, ...(!warmsUp && { leadIn: 0 }) }
      const hot = visitors === 'hot' ? cookie() : null
      const visitsBefore = hot === null ? 0 : (await visit(first.port, hot)).numVisits
      const statements = await counters(database, database, (await siteOf(scenario)).databaseUrl)
      const used = engine === 'db' ? [servers[database]] : [servers[database], servers.redis]
      const cost = await measureLoad(running, load, { servers: used.filter(isKnown), statements })
      const answered = cost.sent - cost.errors
      const visitsAfter = hot === null ? null : (await visit(first.port, hot)).numVisits
      return {
        scenario: name,
        target: target.name,
        round,
        ...cost,
        lost: visitsAfter === null ? null : answered - (visitsAfter - visitsBefore - 1),
      }
    },
    async leave(place) {
      const left = places.forget(place)
      for (const running of (await left)?.started ?? []) await running.stop()
    },
  }
}

/** Measures what the load costs these processes and the servers. Its lead-in is LEAD_IN unless it names another. */
export async function measureLoad(
  running: readonly RunningTarget[],
  load: Omit<LoadOptions, 'ports' | 'onBegin' | 'onEnd'>,
  {
    servers,
    statements,
  }: {
    servers: readonly Pick<ServerUnderLoad, 'pid'>[]
    statements: () => Promise<number>
  } = { servers: [], statements: async () => Number.NaN },
): Promise<Omit<Measurement, 'scenario' | 'target' | 'round' | 'lost'>> {
  const pids = running.flatMap((one) => one.pids())
  const spent = () => ({
    cpu: 1000 * cpuSeconds(pids),
    databaseCpu:
      servers.length === 0
        ? Number.NaN
        : 1000 *
          servers.reduce((sum, { pid }) => sum + (pid === null ? Number.NaN : serverCpuSeconds(pid)), 0),
  })
  let [before, after] = [spent(), spent()]
  const statementsBefore = await statements()
  const { sent, errors, seconds, times } = await runLoad({
    leadIn: load.seconds * LEAD_IN,
    ...load,
    ports: running.map(({ port }) => port),
    onBegin: () => {
      before = spent()
    },
    onEnd: () => {
      after = spent()
    },
  })
  return {
    seconds,
    times,
    cpu: after.cpu - before.cpu,
    databaseCpu: after.databaseCpu - before.databaseCpu,
    sent,
    errors,
    statements: (await statements()) - statementsBefore - 1,
    memory: residentMegabytes(pids),
  }
}

/**
 * Returns the server's own count of statements, which includes this query. PostgreSQL counts transactions, and each
 * connection reports its own once a second at most: those of a short round are counted in the target's next one.
 */
export async function openStatementCounter(scope: Scope, url: string): Promise<() => Promise<number>> {
  if (url.startsWith('postgresql:')) {
    const sql =
      'SELECT xact_commit + xact_rollback AS total FROM pg_stat_database WHERE datname = current_database()'
    return async () => Number((await runSql(url, sql))[0]?.total)
  }
  const connection: Connection = await mysql.createConnection(url)
  scope.teardown(() => connection.end())
  return async () => {
    const [rows] = await connection.query<RowDataPacket[]>("SHOW GLOBAL STATUS LIKE 'Questions'")
    return Number(rows[0]?.Value)
  }
}

function isKnown<T>(value: T | undefined): value is T {
  return value !== undefined
}

interface Once<P extends unknown[], R> {
  (name: string, ...parameters: P): Promise<R>
  /** Returns what was made under this name, and makes it anew at the next call. */
  forget(name: string): Promise<R> | undefined
}

/** Calls `make` once for each name. */
function createOnce<P extends unknown[], R>(make: (...parameters: P) => Promise<R>): Once<P, R> {
  const made = new Map<string, Promise<R>>()
  const once = (name: string, ...parameters: P) => {
    const known = made.get(name) ?? make(...parameters)
    made.set(name, known)
    return known
  }
  return Object.assign(once, {
    forget(name: string) {
      const known = made.get(name)
      made.delete(name)
      return known
    },
  })
}
