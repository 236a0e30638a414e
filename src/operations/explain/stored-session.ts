import { UnreadableDate } from '../../django/datetime.ts'
import { type ExpiryRules, getExpiryAgeSince, InvalidSessionExpiry } from '../../django/expiry.ts'
import { canonicalize, MARK, type SessionData } from '../../django/json.ts'
import { PickleRefused } from '../../django/pickle/errors.ts'
import type { UnreadableSession } from '../../django/session-data.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { isGeneratedSessionKey, isValidSessionKey, SESSION_KEY_LENGTH } from '../../django/session-key.ts'
import { serializerNamed } from '../../django/session-serializers.ts'
import { signedAt } from '../../django/signing.ts'
import { SIGNED_COOKIES_SALT } from '../../engines/signed-cookies.ts'
import { expireDateSince, expiryIn } from '../../engines/stored-expiry.ts'
import type { Project } from '../open-project.ts'
import type { Fact, Finding, Outcome } from './causes.ts'
import { findSignature } from './find-signature.ts'
import { CAUSE_OF_REASON, explainSessionData, type TextRules } from './session-text.ts'
import { siteTime, timeFrom } from './site-time.ts'
import {
  type CacheEntry,
  columnLengthOf,
  findFile,
  findInCache,
  findInOtherTables,
  findRow,
  LONGEST_STORED_KEY,
  onPlaces,
  type StoredRow,
} from './stored-places.ts'

/** What is stored under a session key. */
export interface StoredReading {
  /** The content, where this service can read it; also of an expired session. */
  readonly data: SessionData | null
  readonly findings: readonly Finding[]
  readonly facts: readonly Fact[]
}

const NOTHING: StoredReading = { data: null, findings: [], facts: [] }

/** When sessions of this project expire. */
export function expiryRulesOf({ settings, profile, useTz }: Project): ExpiryRules {
  const { timeZone, session } = settings
  const { cookieAge, expireAtBrowserClose } = session
  const isPickled = serializerNamed(session.serializer, profile) === 'pickle'
  return {
    useTz,
    timeZone,
    cookieAge,
    expireAtBrowserClose,
    storesIsoExpiry: profile.storesIsoExpiry,
    ...(isPickled && { pickledUtc: profile.pickledUtc }),
  }
}

/** How this project reads the text of a session. */
export function textRulesOf(project: Project): TextRules {
  const { settings, secretKeys, profile, now } = project
  const { engine, storeClass, serializer, maxInflatedBytes, cookieAge } = settings.session
  const isCookie = SESSION_ENGINES.get(engine)?.keptIn === 'cookie'
  return {
    secretKeys,
    // As the engine: cookies are signed in every Django.
    profile: isCookie ? { ...profile, reads: ['signed'], writes: 'signed' } : profile,
    storeClass: storeClass ?? 'SessionStore',
    serializer: serializerNamed(serializer, profile),
    maxInflatedBytes,
    cookieAge,
    timeZone: settings.timeZone,
    keptIn: isCookie ? 'cookie' : 'server',
    now,
  }
}

/**
 * Looks up a session key where the settings say that sessions are, and reads what is there. Nothing is written.
 * @throws {CannotStart} when the database fails; {CacheUnavailable} when the sessions are in a cache that is away.
 */
export async function readStoredSession(project: Project, sessionKey: string): Promise<StoredReading> {
  const { engine } = project.settings.session
  const keptIn = SESSION_ENGINES.get(engine)?.keptIn
  const where: Fact = ['engine', project.table === null ? engine : `${engine}, table ${project.table}`]
  const reading = await onPlaces(project, async () => {
    const invalid = whyInvalid(project, sessionKey)
    if (invalid !== null) return { ...NOTHING, findings: [invalid] }
    if (keptIn === 'cookie') return readCookieSession(project, sessionKey)
    if (keptIn === 'folder') return readFileSession(project, sessionKey)
    if (keptIn === 'cache') return readCacheSession(project, sessionKey)
    return readRowSession(project, sessionKey)
  })
  return { ...reading, facts: [where, ...reading.facts] }
}

const BOTH_EMPTY = { django: 'empty', here: 'empty' } as const

/** Source: django/contrib/sessions/backends/base.py, _validate_session_key. */
function whyInvalid(project: Project, sessionKey: string): Finding | null {
  if (!isValidSessionKey(sessionKey)) return { cause: 'key-too-short', ...BOTH_EMPTY }
  const rules = textRulesOf(project)
  if (rules.keptIn === 'cookie') return null
  if (findSignature(sessionKey, rules)?.store === SIGNED_COOKIES_SALT)
    return { cause: 'cookie-holds-session', ...BOTH_EMPTY }
  const isOwnTable = project.settings.session.table !== null
  const longest = isOwnTable ? LONGEST_STORED_KEY : SESSION_KEY_LENGTH
  if (Array.from(sessionKey).length > longest)
    return { cause: 'key-too-long', detail: `it has more than ${longest} characters`, ...BOTH_EMPTY }
  return null
}

// ── In the cookie itself ──

function readCookieSession(project: Project, cookie: string): StoredReading {
  const { cookieAge, cookie: settings } = project.settings.session
  const { decoded, findings, facts } = explainSessionData(cookie, textRulesOf(project), {
    cookieName: settings.name,
  })
  const stamp = signedAt(cookie)
  const end = stamp === null ? null : new Date(stamp.getTime() + cookieAge * 1000)
  return {
    data: decoded?.data ?? null,
    findings,
    facts: [...facts, ...expiryFacts(end, project)],
  }
}

// ── In a table ──

async function readRowSession(project: Project, sessionKey: string): Promise<StoredReading> {
  const { sessionDb, table, settings } = project
  if (table === null) return NOTHING
  const row = await findRow(sessionDb, table, sessionKey)
  const needsCache = SESSION_ENGINES.get(settings.session.engine)?.needsCache === true
  const copy: CacheEntry = needsCache ? await findInCache(project, sessionKey) : { state: 'none' }
  const copyFacts: Fact[] = needsCache ? [['copy in the cache', COPIES[copy.state]]] : []
  if (row === null) {
    if (copy.state === 'found')
      return {
        ...NOTHING,
        findings: [{ cause: 'cache-copy-only', django: 'loads', here: 'empty' }],
        facts: copyFacts,
      }
    const finding = await whyNotInTable(project, sessionKey)
    return { ...NOTHING, findings: [finding], facts: copyFacts }
  }
  const reading = readRow(project, row, {
    sessionKey,
    columnLength: await columnLengthOf(sessionDb, table),
  })
  const facts = [...reading.facts, ...copyFacts]
  if (copy.state !== 'found') return { ...reading, facts }
  // Django looks at the copy alone (cached_db.py, load).
  const findings = reading.findings.map((finding) => ({ ...finding, django: undefined }))
  const isLive = !findings.some(({ cause }) => cause === 'expired')
  if (isLive && reading.data !== null && isSame(reading.data, copy.session.data))
    return { ...reading, findings, facts }
  const cause = isLive ? 'cache-copy-differs' : 'cache-copy-only'
  return { ...reading, findings: [{ cause, django: 'loads' }, ...findings], facts }
}

const COPIES: Readonly<Record<CacheEntry['state'], string>> = {
  none: 'none',
  unavailable: 'unknown: the cache does not answer',
  unreadable: 'unreadable',
  found: 'one',
}

function readRow(
  project: Project,
  { sessionKey: stored, text, expireDate: rawDate }: StoredRow,
  { sessionKey, columnLength }: { sessionKey: string; columnLength: number | null },
): StoredReading {
  const expiry = readExpireDate(project, rawDate)
  const { decoded, findings, facts } = explainSessionData(text, textRulesOf(project), { columnLength })
  return {
    data: decoded?.data ?? null,
    findings: [
      ...(stored === sessionKey ? [] : [{ cause: 'key-case', here: 'empty' } as const]),
      ...expiry.findings,
      ...findings,
    ],
    facts: [...expiryFacts(expiry.date, project), ...facts],
  }
}

interface ExpiryReading {
  readonly date: Date | null
  readonly findings: readonly Finding[]
}

/** Of such a text, Django's `parse_datetime` returns a date or raises; of any other, None (django/utils/dateparse.py). */
const LIKE_A_DATE = /^\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d{1,2}/

/** Source: db.py, _get_session_from_db; django/db/backends/sqlite3/base.py, register_converter. */
function readExpireDate({ dates, now, settings }: Project, raw: string | number): ExpiryReading {
  // SQLite sorts every number before every text, so it has always expired.
  if (typeof raw === 'number')
    return { date: null, findings: [{ cause: 'expire-date-number', ...BOTH_EMPTY }] }
  try {
    const date = dates.fromColumn(raw)
    const detail = `${siteTime(date, settings.timeZone)}, ${timeFrom(now(), date)}`
    return { date, findings: date > now() ? [] : [{ cause: 'expired', detail, ...BOTH_EMPTY }] }
  } catch (error) {
    if (!(error instanceof UnreadableDate)) throw error
    const isLive = raw > dates.toColumn(now())
    const outcomes: Pick<Finding, 'django' | 'here'> = isLive
      ? { django: LIKE_A_DATE.test(raw) ? 'fails' : undefined, here: 'unreadable' }
      : BOTH_EMPTY
    return { date: null, findings: [{ cause: 'expire-date-unreadable', ...outcomes }] }
  }
}

async function whyNotInTable(project: Project, sessionKey: string): Promise<Finding> {
  const { sessionDb, table } = project
  const plain = sessionKey.trim().toLowerCase()
  if (table !== null && plain !== sessionKey && (await findRow(sessionDb, table, plain)) !== null)
    return { cause: 'key-case', ...BOTH_EMPTY }
  return whyNotThere(project, sessionKey)
}

/** A session may be somewhere else than the settings say. */
async function whyNotThere(project: Project, sessionKey: string): Promise<Finding> {
  const isFolder = SESSION_ENGINES.get(project.settings.session.engine)?.keptIn === 'folder'
  if (!isGeneratedSessionKey(sessionKey)) return { cause: 'key-characters', ...BOTH_EMPTY }
  const table = await findInOtherTables(project, sessionKey)
  if (table !== null)
    return {
      cause: project.table === null ? 'other-place-table' : 'other-table',
      detail: table,
      ...BOTH_EMPTY,
    }
  if (!isFolder && (await findFile(project, sessionKey)) !== null)
    return { cause: 'other-place-file', ...BOTH_EMPTY }
  return { cause: 'not-there', ...BOTH_EMPTY }
}

/** Whether Django would read the same values: floats and escapes may be written in several ways. */
function isSame(one: SessionData, other: SessionData): boolean {
  const plain = (text: string | undefined) =>
    text === undefined || text.startsWith(MARK) ? text : canonicalize(text)
  return one.size === other.size && [...one].every(([key, text]) => plain(text) === plain(other.get(key)))
}

// ── In a file ──

async function readFileSession(project: Project, sessionKey: string): Promise<StoredReading> {
  const file = await findFile(project, sessionKey)
  if (file === null) return { ...NOTHING, findings: [await whyNotThere(project, sessionKey)] }
  const rules = expiryRulesOf(project)
  const { decoded, findings, facts } =
    file.text === '' ? EMPTY_FILE : explainSessionData(file.text, textRulesOf(project))
  const data = file.text === '' ? NO_DATA : (decoded?.data ?? null)
  const end = expireDateSince(file.savedAt, data ?? NO_DATA, rules)
  const isOver = file.text !== '' && hasEnded(file.savedAt, data ?? NO_DATA, { rules, now: project.now() })
  const detail = `${siteTime(end, rules.timeZone)}, ${timeFrom(project.now(), end)}`
  return {
    data,
    findings: [...(isOver ? [{ cause: 'expired', detail, ...BOTH_EMPTY } as const] : []), ...findings],
    facts: [...expiryFacts(end, project), ...facts],
  }
}

/** Django reads an empty file, which a process is about to fill, as an empty session. */
const EMPTY_FILE = { decoded: null, findings: [], facts: [] } as const
const NO_DATA: SessionData = new Map()

/** Source: file.py, load. */
function hasEnded(
  savedAt: Date,
  data: SessionData,
  { rules, now }: { rules: ExpiryRules; now: Date },
): boolean {
  try {
    return getExpiryAgeSince(savedAt, expiryIn(data), { rules, now }) <= 0
  } catch (error) {
    if (error instanceof InvalidSessionExpiry) return false
    throw error
  }
}

// ── In a cache ──

async function readCacheSession(project: Project, sessionKey: string): Promise<StoredReading> {
  const entry = await findInCache(project, sessionKey)
  if (entry.state === 'unavailable') throw entry.error
  if (entry.state === 'none') return { ...NOTHING, findings: [await whyNotThere(project, sessionKey)] }
  if (entry.state === 'unreadable') return { ...NOTHING, findings: [unreadableEntry(entry.error)] }
  const { data, expireDate } = entry.session
  return { ...NOTHING, data, facts: expiryFacts(expireDate, project) }
}

/** Source: django/contrib/sessions/backends/cache.py, load, which takes every error for a missing entry. */
function unreadableEntry({ reason, cause }: UnreadableSession): Finding {
  const isRefused = cause instanceof PickleRefused
  const django: Outcome =
    isRefused || reason === 'too-large' ? 'loads' : reason === 'not-an-object' ? 'fails' : 'empty'
  return { cause: isRefused ? 'pickle-class' : CAUSE_OF_REASON[reason], django }
}

function expiryFacts(date: Date | null, { settings, now }: Project): Fact[] {
  if (date === null) return []
  return [['expires', `${siteTime(date, settings.timeZone)}, ${timeFrom(now(), date)}`]]
}
