import { databaseKindOf } from '../../sql/dialect.ts'
import type { Project } from '../open-project.ts'
import type { Check, Result } from './check.ts'
import { newestSessions, sessionsText, whyNoRows } from './sessions-rows.ts'

/** How many sessions there are. Nothing here reads a whole table that is large. */
export const SESSION_COUNT_CHECKS: readonly Check[] = [
  {
    id: 'sessions.I001',
    title: 'sessions are counted',
    meaning:
      'Counts the sessions, the live and the expired ones: exactly up to 10,000 of each, and above that from the statistics of the database, as "about".',
    remedy: 'Nothing. Many expired sessions are removed by `manage.py clearsessions`.',
    after: ['database.E001', 'database.E002'],
    isCheap: false,
    run: ({ project }) => onTable(project, (table) => counted(project, table)),
  },
  {
    id: 'sessions.I002',
    title: 'the largest session is measured',
    meaning: 'Measures `session_data` of the 1000 sessions that expire last.',
    remedy: 'Nothing. Each request reads the whole session, and each change writes it.',
    after: ['database.E001', 'database.E002'],
    isCheap: false,
    run: ({ project }) => onTable(project, (table) => measured(project, table)),
  },
  {
    id: 'sessions.I003',
    title: 'unreadable sessions are counted by their reason',
    meaning: 'Reads the newest sessions, and says how many cannot be read, and why.',
    remedy: 'Nothing, if they are few: rows of a former key or format stay until `manage.py clearsessions`.',
    after: ['database.E001', 'database.E002'],
    isCheap: false,
    async run(evidence) {
      const rows = await newestSessions(evidence)
      const none = whyNoRows(evidence.project, rows)
      if (none !== null) return none
      const reasons = Map.groupBy(
        rows.all.filter(({ diagnosis }) => diagnosis?.reason !== null),
        ({ diagnosis }) => (diagnosis === null ? 'not read for its size' : (diagnosis.reason ?? '')),
      )
      const found = [...reasons].map(([reason, { length }]) => `${length} ${reason}`).join(', ')
      const unreadable = found === '' ? 'all can be read' : `not readable: ${found}`
      return { outcome: 'ok', read: `of the newest ${sessionsText(rows.all.length)}, ${unreadable}` }
    },
  },
]

const EXACT_UP_TO = 10_000
const MEASURED = 1000

async function onTable(project: Project, read: (table: string) => Promise<string>): Promise<Result> {
  const { table } = project
  if (table === null) return { outcome: 'skipped', because: 'this engine keeps no table' }
  return { outcome: 'ok', read: await project.onSessionDatabase(() => read(table)) }
}

async function counted(project: Project, table: string): Promise<string> {
  const { sessionDb, dates, now } = project
  const limit = dates.toColumn(now())
  const count = async (operator: '>' | '<=') => {
    const some = sessionDb(table)
      .select('expire_date')
      .where('expire_date', operator, limit)
      .limit(EXACT_UP_TO + 1)
    const [row] = await sessionDb.from(some.as('some')).count({ n: '*' })
    return Number(row?.n)
  }
  const [live, expired] = [await count('>'), await count('<=')]
  const total =
    Math.max(live, expired) <= EXACT_UP_TO
      ? sessionsText(live + expired)
      : aboutText(await estimate(project, table), live + expired)
  return `${total}: ${text(live)} live, ${text(expired)} expired`
}

/** Statistics that were never gathered, or are old, may be too low. */
function aboutText(estimated: number, counted: number): string {
  return estimated > counted ? `about ${sessionsText(estimated)}` : `at least ${sessionsText(counted)}`
}

function text(count: number): string {
  return count > EXACT_UP_TO ? `more than ${EXACT_UP_TO}` : String(count)
}

/** What the database believes; 0 if it does not know. */
async function estimate({ sessionDb: db }: Project, table: string): Promise<number> {
  const kind = databaseKindOf(db)
  if (kind === 'mysql') {
    const [row] = await db('information_schema.tables')
      .whereRaw('table_schema = database()')
      .where('table_name', table)
      .select('table_rows as n')
    return Number(row?.n ?? 0)
  }
  if (kind === 'postgresql') {
    const { rows } = await db.raw('select reltuples::bigint as n from pg_class where oid = to_regclass(?)', [
      db.ref(table).toQuery(),
    ])
    return Number(rows[0]?.n ?? 0)
  }
  // Rows are never renumbered, so this is too many after deletions.
  const [row] = await db(table).select(db.raw('max(rowid) as n'))
  return Number(row?.n ?? 0)
}

async function measured({ sessionDb }: Project, table: string): Promise<string> {
  const newest = sessionDb(table)
    .select(sessionDb.raw('octet_length(session_data) as size'))
    .orderBy('expire_date', 'desc')
    .limit(MEASURED)
  const [row] = await sessionDb
    .from(newest.as('newest'))
    .select(sessionDb.raw('count(*) as n, max(size) as size'))
  const { n, size } = (row ?? {}) as { n?: unknown; size?: unknown }
  return `${Number(size ?? 0)} bytes; ${sessionsText(Number(n ?? 0))} read`
}
