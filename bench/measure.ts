import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import type { Scope } from '../test/support/file-scope.ts'
import { checkTarget } from './check.ts'
import { createLibrary, type LibrarySize } from './library.ts'
import { type LoadOptions, runLoad } from './load.ts'
import { type Scenario, sessionCount } from './scenarios.ts'
import { makeSessions } from './sessions.ts'
import type { RunningTarget, Target } from './targets.ts'
import { cpuSeconds, residentMegabytes } from './usage.ts'
import { visit } from './visit.ts'

/** The results of one target in one scenario in one round. */
export interface Measurement {
  readonly scenario: string
  readonly target: string
  readonly round: number
  readonly requests: number
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Milliseconds of CPU per request: of the target's processes, and of the database. */
  readonly cpu: number
  readonly databaseCpu: number
  /** Statements per request, as the server counts them. */
  readonly statements: number
  /** Resident memory of the target's processes at the end, in MiB. */
  readonly memory: number
  /** Responses with a status other than 200. */
  readonly errors: number
  /** Answered visits that are missing in the session; null if this is not checked. */
  readonly lost: number | null
}

/** The database server of all targets. */
export interface DatabaseUnderLoad {
  readonly url: string
  /** Null if unknown, as in a container; then its CPU is unknown, too. */
  readonly pid: number | null
}

export interface Stage {
  /** @throws Error when the target does not show the expected page. */
  measure(
    target: Target,
    scenario: Scenario,
    options: { round: number; seconds: number },
  ): Promise<Measurement>
}

/** Enough for the JIT compilers to finish. With a larger library most time is spent in the database. */
const WARM_UP = { requests: 20_000, seconds: { small: 15, large: 1, huge: 1 } } as const

/** Seconds of the same load before each measurement, because a process is slower after a pause. */
const SETTLING = 1

/** Runs targets. Libraries, processes and sessions are created when first needed, and are kept. */
export async function openStage(
  scope: Scope,
  { database, warmsUp = true }: { database: DatabaseUnderLoad; warmsUp?: boolean },
): Promise<Stage> {
  const statements = await openStatementCounter(scope, database.url)
  const libraries = createOnce((size: LibrarySize) => createLibrary(scope, size))
  const processes = createOnce(async (target: Target, size: LibrarySize, isFirst: boolean) => {
    const databaseUrl = await libraries(size, size)
    const running = await target.start(scope, databaseUrl)
    if (isFirst) await checkTarget(target, running, { databaseUrl, size })
    return running
  })
  const sessions = createOnce(
    async (target: Target, running: RunningTarget, { size, payload, ...rest }: Scenario) => {
      const databaseUrl = await libraries(size, size)
      const count = sessionCount({ size, payload, ...rest })
      return makeSessions(target, running, { databaseUrl, count, payload })
    },
  )
  const warmed = new Set<RunningTarget>()

  async function warmUp(
    running: readonly RunningTarget[],
    { size }: Scenario,
    cookie: () => string | null,
  ): Promise<void> {
    const cold = running.filter((one) => !warmed.has(one))
    if (cold.length === 0) return
    const ports = cold.map(({ port }) => port)
    let requests = 0
    for (let second = 0; second < WARM_UP.seconds[size] && requests < WARM_UP.requests; second += 1)
      requests += (await runLoad({ ports, connections: 16, seconds: 1, cookie })).requests
    for (const one of cold) warmed.add(one)
  }

  return {
    async measure(target, scenario, { round, seconds }) {
      const { name, size, visitors, payload, connections, stretch } = scenario
      const count = target.kind === 'django' ? 1 : scenario.processes
      const running: RunningTarget[] = []
      for (let at = 0; at < count; at += 1)
        running.push(await processes(`${target.name} ${size} ${at}`, target, size, at === 0))
      const [first] = running
      if (first === undefined) throw new TypeError('a scenario must have at least one process')
      const kind = visitors === 'hot' ? 'hot' : payload
      const cookies =
        visitors === 'new' ? [] : await sessions(`${target.name} ${size} ${kind}`, target, first, scenario)
      const cookie = (): string | null => cookies[Math.floor(Math.random() * cookies.length)] ?? null
      if (warmsUp) await warmUp(running, scenario, cookie)

      const load = { connections, seconds: seconds * stretch, cookie }
      if (warmsUp) await runLoad({ ...load, ports: running.map(({ port }) => port), seconds: SETTLING })

      const hot = visitors === 'hot' ? cookie() : null
      const visitsBefore = hot === null ? 0 : (await visit(first.port, hot)).numVisits
      const cost = await measureLoad(running, load, { database, statements })
      const answered = cost.requests - cost.errors
      const visitsAfter = hot === null ? null : (await visit(first.port, hot)).numVisits
      return {
        scenario: name,
        target: target.name,
        round,
        ...cost,
        lost: visitsAfter === null ? null : answered - (visitsAfter - visitsBefore - 1),
      }
    },
  }
}

/** Measures the cost of the load for these processes and for the database. */
export async function measureLoad(
  running: readonly RunningTarget[],
  load: Omit<LoadOptions, 'ports'>,
  { database, statements }: { database: DatabaseUnderLoad; statements: () => Promise<number> },
): Promise<Omit<Measurement, 'scenario' | 'target' | 'round' | 'lost'>> {
  const pids = running.flatMap((one) => one.pids())
  const spent = () => ({
    cpu: cpuSeconds(pids),
    databaseCpu: database.pid === null ? Number.NaN : cpuSeconds([database.pid]),
  })
  const [before, statementsBefore] = [spent(), await statements()]
  const { requests, errors, p50, p99, seconds } = await runLoad({
    ...load,
    ports: running.map(({ port }) => port),
  })
  const [after, statementsAfter] = [spent(), await statements()]
  return {
    requests,
    requestsPerSecond: requests / seconds,
    p50,
    p99,
    cpu: (1000 * (after.cpu - before.cpu)) / requests,
    databaseCpu: (1000 * (after.databaseCpu - before.databaseCpu)) / requests,
    statements: (statementsAfter - statementsBefore - 1) / requests,
    memory: residentMegabytes(pids),
    errors,
  }
}

/** Returns the server's own count of statements, which includes this query. */
export async function openStatementCounter(scope: Scope, url: string): Promise<() => Promise<number>> {
  const connection: Connection = await mysql.createConnection(url)
  scope.teardown(() => connection.end())
  return async () => {
    const [rows] = await connection.query<RowDataPacket[]>("SHOW GLOBAL STATUS LIKE 'Questions'")
    return Number(rows[0]?.Value)
  }
}

/** Calls `make` once for each name. */
function createOnce<P extends unknown[], R>(
  make: (...parameters: P) => Promise<R>,
): (name: string, ...parameters: P) => Promise<R> {
  const made = new Map<string, Promise<R>>()
  return (name, ...parameters) => {
    const known = made.get(name) ?? make(...parameters)
    made.set(name, known)
    return known
  }
}
