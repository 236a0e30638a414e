import type { ServerKind } from '../../django/versions.ts'
import { measureClockSkew } from '../../service/database/clock-skew.ts'
import { databaseKindOf } from '../../sql/dialect.ts'
import { selectRows } from '../../sql/executor.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import { sessionSchema } from './session-columns.ts'

/** What the server of the sessions says about itself. */
interface Server {
  /** Null for SQLite, which is part of each program that uses it. */
  readonly kind: ServerKind | null
  /** E.g. `10.11.6-MariaDB`. */
  readonly version: string
  /** MySQL's global variables, by name; empty on other databases, and for those that a proxy hides. */
  readonly variables: ReadonlyMap<string, string>
}

const VARIABLES = ['binlog_format', 'log_bin', 'max_allowed_packet', 'sql_mode']

const readServer = perRun(async ({ project: { sessionDb } }): Promise<Server> => {
  const kind = databaseKindOf(sessionDb)
  const [row] = await selectRows(sessionDb, VERSION[kind])
  const version = String(row?.version).replace(/^5\.5\.5-/, '') // MariaDB puts it before its own for old clients.
  if (kind !== 'mysql') return { kind: kind === 'sqlite' ? null : kind, version, variables: new Map() }
  const names = VARIABLES.map((name) => `'${name}'`).join()
  const rows = await selectRows(sessionDb, `show global variables where Variable_name in (${names})`)
  return {
    kind: /mariadb/i.test(version) ? 'mariadb' : 'mysql',
    version,
    variables: new Map(rows.map((one) => [String(one.Variable_name), String(one.Value)])),
  }
})

const VERSION = {
  mysql: 'select version() as version',
  postgresql: "select current_setting('server_version') as version",
  sqlite: 'select sqlite_version() as version',
} as const

const SERVER_NAMES: Readonly<Record<ServerKind, string>> = {
  mysql: 'MySQL',
  mariadb: 'MariaDB',
  postgresql: 'PostgreSQL',
}

/** A check of the variables of MySQL and MariaDB. */
function variablesCheck(judge: (server: Server, evidence: Evidence) => Promise<Result>): Check['run'] {
  return async (evidence) => {
    const server = await readServer(evidence)
    if (server.variables.size === 0) return { outcome: 'skipped', because: 'only MySQL and MariaDB have it' }
    return judge(server, evidence)
  }
}

/** Seconds. Django and this service compare dates with their own clocks; a second or two, as NTP leaves, does not matter. */
const MOST_SKEW = 30

/** Bytes. What servers of the last twenty years have by default, and more than sessions have. */
const LEAST_PACKET = 1024 ** 2

/** How many of the newest sessions are measured. */
const MEASURED = 100

const AFTER = ['database.E001'] as const
const AFTER_TABLE = ['database.E001', 'database.E002', 'database.E003'] as const

/** Whether the server of the sessions is set up so that neither side loses sessions. */
export const SERVER_SETTINGS_CHECKS: readonly Check[] = [
  {
    id: 'database.E009',
    title: 'the server is new enough for this Django',
    meaning:
      "Compares the server's version with the oldest to which that Django connects (`minimum_database_version`, since 4.2). Django refuses an older server at its first query: so Django uses another database, or another version of Django than `DJANGO_VERSION` says.",
    remedy:
      'Set `DJANGO_VERSION` to what `python -m django --version` prints at the Django site, or `DATABASE_URL` to its database.',
    after: AFTER,
    isCheap: true,
    async run(evidence) {
      const { profile } = evidence.project
      const { kind, version } = await readServer(evidence)
      if (kind === null) return { outcome: 'skipped', because: 'SQLite has no server' }
      const name = `${SERVER_NAMES[kind]} ${version}`
      const oldest = profile.oldestServers?.[kind]
      if (oldest === undefined || !isOlder(version, oldest)) return { outcome: 'ok', read: name }
      return {
        outcome: 'failed',
        read: `Django ${profile.version} does not connect to ${name}, but only to ${oldest} or newer`,
        hint: 'set DJANGO_VERSION to what `python -m django --version` prints at the Django site, or DATABASE_URL to the database in its settings',
      }
    },
  },
  {
    id: 'database.W005',
    title: "the server's sql_mode is strict",
    meaning:
      "Reads the global `sql_mode` of MySQL or MariaDB, which Django's connections have. Without `STRICT_TRANS_TABLES`, the server cuts a value that is too long for its column and says nothing: Django cannot read such a session any more. Django's own check `mysql.W002` warns of it, too. (This service switches the strict mode on for its own connections.)",
    remedy:
      "Add `STRICT_TRANS_TABLES` to `sql_mode` in the server's configuration. Silence this check if the Django site sets it in `OPTIONS`.",
    after: AFTER,
    isCheap: true,
    run: variablesCheck(async ({ variables }) => {
      const mode = variables.get('sql_mode')
      if (mode === undefined || /\b(?:STRICT_(?:TRANS|ALL)_TABLES|TRADITIONAL)\b/.test(mode))
        return { outcome: 'ok', read: mode ?? 'the server does not say' }
      return {
        outcome: 'failed',
        read: mode === '' ? 'sql_mode is empty' : `sql_mode is ${mode}`,
        hint: "run SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES'), and set it in the server's configuration; or set 'sql_mode' in OPTIONS of DATABASES at the Django site",
      }
    }),
  },
  {
    id: 'database.W006',
    title: 'max_allowed_packet has room for the largest session',
    meaning: `Reads \`max_allowed_packet\` of MySQL or MariaDB, and the length of the largest of the ${MEASURED} newest sessions. A session that needs a larger statement cannot be saved by either side.`,
    remedy: "Raise `max_allowed_packet` in the server's configuration, for example to 64M.",
    after: AFTER_TABLE,
    isCheap: false,
    run: variablesCheck(async ({ variables }, { project }) => {
      const packet = Number(variables.get('max_allowed_packet') ?? Number.POSITIVE_INFINITY)
      const largest = await largestSession(project)
      const read = `${packet} bytes; the largest of the newest sessions has ${largest}`
      if (packet >= LEAST_PACKET && packet >= 2 * largest) return { outcome: 'ok', read }
      const hint =
        "run SET GLOBAL max_allowed_packet = 67108864, and set max_allowed_packet = 64M in the server's configuration; or store less in sessions"
      return { outcome: 'failed', read, hint }
    }),
  },
  {
    id: 'database.W007',
    title: 'the binary log takes what Django writes',
    meaning:
      'Reads `binlog_format` of MySQL or MariaDB. With STATEMENT, the server refuses every write at READ COMMITTED, the isolation level of Django: Django cannot save sessions, except with another level in its `OPTIONS`. (This service uses REPEATABLE READ there.)',
    remedy: 'Set `binlog_format` to ROW or MIXED, or `isolation_level` to `repeatable read` on both sides.',
    after: AFTER,
    isCheap: true,
    run: variablesCheck(async ({ variables }, { project: { settings } }) => {
      const format = variables.get('log_bin') === 'ON' ? variables.get('binlog_format') : 'no binary log'
      const database = settings.sessionDatabase ?? settings.database
      const isGiven = database.kind === 'mysql' && database.isolationLevel !== null
      if (format !== 'STATEMENT' || isGiven)
        return { outcome: 'ok', read: format ?? 'the server does not say' }
      return {
        outcome: 'failed',
        read: 'binlog_format is STATEMENT, so the server refuses what Django writes at READ COMMITTED',
        hint: "set binlog_format to ROW or MIXED in the server's configuration; or set 'isolation_level': 'repeatable read' in OPTIONS of DATABASES at the Django site, and add isolation_level=repeatable%20read to the URL here",
      }
    }),
  },
  {
    id: 'database.W008',
    title: "the database's clock and this machine's agree",
    meaning: `Compares the two clocks. Each side decides by its own clock when a session expires. A difference of more than ${MOST_SKEW} s says that the clock of a machine is wrong: sessions end too early or too late on one side.`,
    remedy: 'Set the clock of each machine, for example by NTP.',
    after: AFTER,
    isCheap: true,
    async run({ project: { sessionDb, now } }) {
      const kind = databaseKindOf(sessionDb)
      if (kind === 'sqlite') return { outcome: 'skipped', because: "SQLite has this machine's clock" }
      const skew = await measureClockSkew(sessionDb, kind, { now })
      const seconds = Math.round(Math.abs(skew))
      const read = `the database is ${seconds} s ${skew < 0 ? 'behind' : 'ahead'}`
      if (seconds <= MOST_SKEW) return { outcome: 'ok', read }
      return {
        outcome: 'failed',
        read,
        hint: 'set the clock of this machine and of the database, e.g. by NTP',
      }
    },
  },
  {
    id: 'database.I001',
    title: 'the database of the sessions can be described',
    meaning:
      'Says which server it is, and how it keeps the sessions: collation of the keys, storage engine, default isolation level, or the journal of SQLite.',
    remedy: 'Nothing: this is information.',
    after: AFTER,
    isCheap: false,
    async run(evidence) {
      const { sessionDb } = evidence.project
      const { kind, version } = await readServer(evidence)
      const schema = await sessionSchema(evidence)
      const collation = schema?.columns.find(({ name }) => name === 'session_key')?.collation
      const [row] = await selectRows(sessionDb, FACT[databaseKindOf(sessionDb)])
      const facts = [
        `${kind === null ? 'SQLite' : SERVER_NAMES[kind]} ${version}`,
        ...(row === undefined ? [] : Object.entries(row).map(([name, value]) => `${name} ${value}`)),
        ...(collation ? [`session_key ${collation}`] : []),
        ...(schema?.engine ? [schema.engine.name] : []),
      ]
      return { outcome: 'ok', read: facts.join(', ') }
    },
  },
]

const FACT = {
  mysql: 'select @@character_set_database as character_set',
  postgresql: "select current_setting('default_transaction_isolation') as isolation",
  sqlite: 'pragma journal_mode',
} as const

async function largestSession({ table, sessionDb }: Evidence['project']): Promise<number> {
  if (table === null) return 0
  const lengths: { bytes: unknown }[] = await sessionDb(table)
    .select(sessionDb.raw('length(session_data) as bytes'))
    .orderBy('expire_date', 'desc')
    .limit(MEASURED)
  return Math.max(0, ...lengths.map(({ bytes }) => Number(bytes)))
}

/** Compares as many numbers as `oldest` has. */
function isOlder(version: string, oldest: string): boolean {
  const numbers = version.split(/[^\d]+/).map(Number)
  for (const [at, wanted] of oldest.split('.').map(Number).entries()) {
    const actual = numbers[at] ?? 0
    if (actual !== wanted) return actual < wanted
  }
  return false
}
