import type { Knex } from 'knex'
import { type DatabaseKind, readIsoDate } from '../../django/datetime.ts'
import { createDiagnosis, type Diagnosis, unverifiedContent } from '../../django/session-diagnosis.ts'
import { writerOf } from '../../engines/row-writer.ts'
import { codecOptionsOf } from '../../service/settings/codec-options.ts'
import type { SessionWriter } from '../../session/engine.ts'
import { databaseKindOf, dialects } from '../../sql/dialect.ts'
import type { Project } from '../open-project.ts'
import { type Evidence, perRun, type Result } from './check.ts'

/** A row of a session table. Neither key nor text is ever shown. */
export interface SessionRow {
  readonly key: string
  readonly writer: SessionWriter
  /** Bytes of `session_data`. */
  readonly size: number
  /** The text of `expire_date`. */
  readonly expireDate: string
  /** When it was saved: the time stamp of its signature, or else `expire_date` minus the age of the session. */
  readonly savedAt: Date | null
  /** `session_data`; null for a text that is too large to be read here. */
  readonly text: string | null
  /** Null where `text` is. */
  readonly diagnosis: Diagnosis | null
}

/** The newest rows of a table, each list the newest first. */
export interface SessionRows {
  readonly all: readonly SessionRow[]
  /** Those that Django saved; if no row tells who saved it, all of them. */
  readonly django: readonly SessionRow[]
  /** Those that this service saved. */
  readonly here: readonly SessionRow[]
}

/** The newest rows of the configured session table; none for an engine without a table. */
export const newestSessions: (evidence: Evidence) => Promise<SessionRows> = perRun(async ({ project }) => {
  const { table } = project
  if (table === null) return NO_ROWS
  return project.onSessionDatabase(() => readNewest(project, project.sessionDb, table))
})

const NO_ROWS: SessionRows = { all: [], django: [], here: [] }

/** Rows in one reading of the index, and those of them that are read. */
const SCANNED = 5000
const READ = 40
/** Larger texts are counted, but not read. */
const LARGEST_READ = 256 * 1024

/**
 * Reads a bounded number of rows by the index on `expire_date`. The rows saved last may have any place in that index, if
 * the settings are wrong or sessions have expiries of their own. So it is read from its end, from where a session that is
 * saved now belongs, and from 38 hours after now, where short sessions are in any time zone.
 */
export async function readNewest(project: Project, db: Knex, table: string): Promise<SessionRows> {
  const { dates, now, settings } = project
  const kind = databaseKindOf(db)
  const later = (seconds: number) => dates.toColumn(new Date(now().getTime() + seconds * 1000))
  const keys = new Set<string>(await keysOf(db, { table, kind, upTo: null, byDjango: false }))
  for (const upTo of [null, later(settings.session.cookieAge + 60), later(38 * 3600)])
    for (const key of await keysOf(db, { table, kind, upTo, byDjango: true })) keys.add(key)
  const found: Record<string, unknown>[] = await db(table)
    .select('session_key', db.raw(dialects[kind].dateAsText('expire_date')))
    .select(db.raw('octet_length(session_data) as size'))
    .select(db.raw(`case when octet_length(session_data) <= ${LARGEST_READ} then session_data end as data`))
    .whereIn('session_key', [...keys])
  const diagnose = createDiagnosis(codecOptionsOf(settings, project))
  const all = found
    .map((row) => rowOf(row, { project, diagnose }))
    // Of those of the same second, the one that ends later was saved later.
    .sort(
      (a, b) =>
        (b.savedAt?.getTime() ?? 0) - (a.savedAt?.getTime() ?? 0) || (a.expireDate < b.expireDate ? 1 : -1),
    )
  const by = (writer: SessionWriter) => all.filter((row) => row.writer === writer)
  const django = by('django')
  return { all, django: django.length > 0 ? django : by('unknown'), here: by('here') }
}

async function keysOf(
  db: Knex,
  {
    table,
    kind,
    upTo,
    byDjango,
  }: { table: string; kind: DatabaseKind; upTo: string | null; byDjango: boolean },
): Promise<string[]> {
  const scanned = db(table)
    .select('session_key', 'expire_date')
    .orderBy('expire_date', 'desc')
    .limit(byDjango ? SCANNED : READ)
  if (upTo !== null) void scanned.where('expire_date', '<=', upTo)
  const newest = db.from(scanned.as('newest')).orderBy('expire_date', 'desc').limit(READ)
  if (byDjango) void newest.whereRaw(HAS_MICROSECONDS[kind])
  return newest.pluck('session_key')
}

/** Whether the last three of six digits of a second are not all zeros. */
const HAS_MICROSECONDS: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'microsecond(expire_date) % 1000 <> 0',
  postgresql: 'extract(microseconds from expire_date)::bigint % 1000 <> 0',
  sqlite: "substr(expire_date, 24, 3) not in ('', '000')",
}

function rowOf(
  row: Record<string, unknown>,
  { project, diagnose }: { project: Project; diagnose: (text: string) => Diagnosis },
): SessionRow {
  const expireDate = String(row.expire_date)
  const text = row.data === null || row.data === undefined ? null : String(row.data)
  const diagnosis = text === null ? null : diagnose(text)
  return {
    key: String(row.session_key),
    writer: writerOf(expireDate),
    size: Number(row.size),
    expireDate,
    text,
    savedAt: diagnosis?.signedAt ?? estimatedSave({ expireDate, text }, project),
    diagnosis,
  }
}

/** In the format before 3.1, by the end of the session; null where that cannot be right in any time zone. */
function estimatedSave(
  { expireDate, text }: { expireDate: string; text: string | null },
  { dates, settings, now }: Project,
): Date | null {
  if (readIsoDate(expireDate) === null) return null
  // The row of a former key counts, too, so the signature may be wrong.
  const [, own] = OWN_EXPIRY.exec(unverifiedContent(text ?? '') ?? '') ?? []
  const age = own === undefined ? settings.session.cookieAge : Number(own)
  const savedAt = dates.fromColumn(expireDate).getTime() - age * 1000
  return savedAt > now().getTime() + FARTHEST_ZONE ? null : new Date(savedAt)
}

const OWN_EXPIRY = /"_session_expiry": ?([1-9]\d{0,9})[,}]/
/** Milliseconds; more than any time zone differs from UTC. */
const FARTHEST_ZONE = 15 * 3_600_000

/** `3 minutes`, for a person. */
export function timeText(seconds: number): string {
  const size = Math.abs(seconds)
  const [unit, length] =
    (
      [
        ['day', 86_400],
        ['hour', 3600],
        ['minute', 60],
      ] as const
    ).find(([, one]) => size >= 2 * one || size === one) ?? (['second', 1] as const)
  const count = Math.round(size / length)
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** `1 session`, `2 sessions`. */
export function sessionsText(count: number): string {
  return `${count} session${count === 1 ? '' : 's'}`
}

/** The reason for which nothing can be said, when Django has saved no row that could be read; null when it has. */
export function whyNoEvidence(project: Project, rows: SessionRows): string | null {
  if (project.table === null) return 'this engine keeps no table'
  if (rows.all.length === 0)
    return `no session is stored in ${project.table} yet; visit a page of the Django site that keeps something in the session, and run the doctor again, or use --round-trip`
  if (rows.django.length === 0)
    return `this service itself saved all of the ${sessionsText(rows.all.length)} read; visit a page of the Django site, and run the doctor again, or use --round-trip`
  return null
}

/** Skipped, because no row of any writer is there; null if there are rows. */
export function whyNoRows(project: Project, { all }: SessionRows): Result | null {
  if (all.length > 0) return null
  return { outcome: 'skipped', because: whyNoEvidence(project, NO_ROWS) ?? '' }
}
