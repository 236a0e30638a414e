import { SESSION_COOKIE_AGE } from '../../django/cookie.ts'
import { createDateColumn, type DateColumn, readIsoDate, wallClock } from '../../django/datetime.ts'
import { type ExpiryRules, getExpiryDate, InvalidSessionExpiry } from '../../django/expiry.ts'
import type { PickledValue } from '../../django/pickle/javascript.ts'
import { UnreadableSession } from '../../django/unreadable-session.ts'
import { expiryIn } from '../../engines/stored-expiry.ts'
import type { Project } from '../open-project.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import { newestSessions, type SessionRow, sessionsText, timeText, whyNoEvidence } from './sessions-rows.ts'

/** When Django's sessions expire: `expire_date` minus the time stamp of the signature. */
export const SESSION_EXPIRY_CHECKS: readonly Check[] = [
  {
    id: 'sessions.E020',
    title: "USE_TZ, TIME_ZONE and DATABASE_TIME_ZONE are Django's",
    meaning:
      'Compares `expire_date` of the newest rows of Django with the time stamp in their signatures (Django since 3.1). The difference is the age of the session, plus the offset of the time zone if a setting is wrong. Sessions then end hours too early or too late.',
    remedy:
      'Set `USE_TZ` and `TIME_ZONE` as in the settings of the Django site, and `DATABASE_TIME_ZONE` if its `DATABASES` have a `TIME_ZONE`.',
    after: ['database.E001', 'database.E002'],
    isCheap: true,
    run: (evidence) => result(evidence, 'zone'),
  },
  {
    id: 'sessions.E021',
    title: "SESSION_COOKIE_AGE is Django's",
    meaning:
      'Compares `expire_date` of the newest rows of Django with the time stamp in their signatures (Django since 3.1), for sessions without an expiry of their own.',
    remedy: 'Set `SESSION_COOKIE_AGE` as in the settings of the Django site.',
    after: ['database.E001', 'database.E002'],
    isCheap: true,
    run: (evidence) => result(evidence, 'age'),
  },
]

/** A row of Django whose expiry can be computed: what is stored, and what the settings say. */
interface Dated {
  /** The time stamp, in whole seconds. */
  readonly signedAt: Date
  readonly expireDate: string
  /** `_session_expiry`; undefined if SESSION_COOKIE_AGE counts. */
  readonly expiry: PickledValue | undefined
}

/** Settings that decide what an `expire_date` is. */
interface Clock {
  readonly useTz: boolean
  readonly timeZone: string
  /** `DATABASES[…]['TIME_ZONE']`. */
  readonly databaseTimeZone: string
}

interface Finding {
  readonly because: string | null
  /** What Django's rows show. */
  readonly clock: Clock | null
  /** Other zones with which the rows agree as well. */
  readonly zones: readonly string[]
  /** Seconds; null if each row has an expiry of its own. */
  readonly age: number | null
  readonly rows: number
  /** Another explanation of the same numbers; null if there is none. */
  readonly doubt: string | null
  /** `expire_date`, read with the settings, minus the time stamp: of the newest row without an expiry of its own. */
  readonly seconds: number | null
}

/** The newest rows that are looked at. */
const NEWEST = 20
/** The stamp has whole seconds, and is made some milliseconds before `expire_date`. */
const EARLY = -1500
const LATE = 2500

async function result(evidence: Evidence, part: 'zone' | 'age'): Promise<Result> {
  const found = await newestExpiries(evidence)
  if (found.because !== null) return { outcome: 'skipped', because: found.because }
  return part === 'zone' ? zoneResult(found, evidence.project) : ageResult(found, evidence.project)
}

function zoneResult({ clock, zones, rows, seconds, doubt }: Finding, project: Project): Result {
  const used = configuredClock(project)
  if (doubt !== null)
    return {
      outcome: 'skipped',
      because: 'the numbers do not tell a time zone from an age; see sessions.E021',
    }
  if (clock === null || isSame(clock, used))
    return {
      outcome: 'ok',
      read: `the newest ${sessionsText(rows)} of Django end in the time zone of the settings`,
    }
  const shown = seconds === null ? 'when they should not' : `${seconds} s after they were saved`
  return {
    outcome: 'failed',
    read: `the newest ${sessionsText(rows)} of Django end ${shown}; their expire_date is in ${zoneText(clock, zones, project)}`,
    hint: clockHint(clock, zones, project),
  }
}

function ageResult({ age, rows, seconds, doubt }: Finding, project: Project): Result {
  const { cookieAge } = project.settings.session
  if (age === null)
    return { outcome: 'skipped', because: 'each of the newest sessions of Django has an expiry of its own' }
  if (age === cookieAge)
    return { outcome: 'ok', read: `the newest sessions of Django last ${age} s (${timeText(age)})` }
  return {
    outcome: 'failed',
    read: `the newest ${sessionsText(rows)} of Django end ${seconds} s after they were saved, not ${cookieAge} s: they last ${timeText(age)}`,
    hint: `set SESSION_COOKIE_AGE=${age}${doubt === null ? '' : `; or, if that is not in settings.py, ${doubt}`}`,
  }
}

const NOTHING: Finding = {
  because: null,
  clock: null,
  zones: [],
  age: null,
  rows: 0,
  doubt: null,
  seconds: null,
}

const newestExpiries = perRun(async (evidence): Promise<Finding> => {
  const { project } = evidence
  const rows = await newestSessions(evidence)
  const none = whyNoEvidence(project, rows)
  if (none !== null) return { ...NOTHING, because: none }
  const dated = rows.django.flatMap((row) => datedOf(row)).slice(0, NEWEST)
  if (dated.length === 0)
    return {
      ...NOTHING,
      because: rows.django.some(({ diagnosis }) => diagnosis?.shape === 'legacy')
        ? 'sessions in the format of Django before 3.1 have no time stamp'
        : "none of Django's newest sessions can be read",
    }
  const deviation = deviationUnder(configuredClock(project), project.settings.session.cookieAge, project)
  // A row whose expiry the site changed by hand, or saved under former settings, must not decide.
  const common = newestInCommon(dated.filter(hasNoExpiry), deviation)
  const own = newestInCommon(
    dated.filter((row) => !hasNoExpiry(row)),
    deviation,
  )
  if (common.length + own.length === 0)
    return { ...NOTHING, because: "Django's newest sessions end at times that have nothing in common" }
  return explained({ common, own }, project)
})

const hasNoExpiry = ({ expiry }: Dated): boolean => expiry === undefined

function datedOf({ diagnosis, expireDate }: SessionRow): Dated[] {
  if (diagnosis?.signedAt == null || diagnosis.decoded === null || readIsoDate(expireDate) === null) return []
  const stored = expiryIn(diagnosis.decoded.data)
  const isOwn = stored !== undefined && stored !== null && stored !== 0 && stored !== false && stored !== ''
  return [{ signedAt: diagnosis.signedAt, expireDate, expiry: isOwn ? stored : undefined }]
}

/** Milliseconds by which a row ends later than these settings say; null if Django fails on its expiry under them. */
type Deviation = (row: Dated) => number | null

function deviationUnder(clock: Clock, cookieAge: number, project: Project): Deviation {
  const column = columnOf(clock, project)
  const rules: ExpiryRules = { ...clock, cookieAge, expireAtBrowserClose: false, storesIsoExpiry: true }
  return ({ signedAt, expireDate, expiry }) => {
    try {
      return column.fromColumn(expireDate).getTime() - getExpiryDate(expiry, rules, signedAt).getTime()
    } catch (error) {
      if (error instanceof InvalidSessionExpiry || error instanceof UnreadableSession) return null
      throw error
    }
  }
}

function columnOf({ useTz, timeZone, databaseTimeZone }: Clock, project: Project): DateColumn {
  const { database, sessionDatabase } = project.settings
  return createDateColumn({ database: (sessionDatabase ?? database).kind, useTz, timeZone, databaseTimeZone })
}

const isExpected = (deviation: number | null): boolean =>
  deviation !== null && deviation >= EARLY && deviation <= LATE

/** The rows that deviate as the newest row does, but for one that is alone among others. */
function newestInCommon(rows: readonly Dated[], deviation: Deviation): readonly Dated[] {
  for (const row of rows) {
    const own = deviation(row)
    if (own === null) continue
    const alike = rows.filter((other) => Math.abs((deviation(other) ?? Infinity) - own) <= LATE - EARLY)
    if (alike.length > 1 || rows.length < 3 || isExpected(own)) return alike
  }
  return []
}

/** The settings, nearest to the present ones, under which all rows end when they should. */
function explained(
  { common, own }: { common: readonly Dated[]; own: readonly Dated[] },
  project: Project,
): Finding {
  const { cookieAge } = project.settings.session
  const used = configuredClock(project)
  const rows = common.length + own.length
  const fits = (clock: Clock, age: number): boolean => {
    const deviation = deviationUnder(clock, age, project)
    return [...common, ...own].every((row) => isExpected(deviation(row)))
  }
  const near = nearClocks(project)
  const far = farClocks(project)
  const [newest] = common
  const seconds = newest === undefined ? null : secondsOf(newest, used, project)
  const base = { ...NOTHING, rows, seconds }
  const found = (clock: Clock | null, age: number): Finding => {
    const zones =
      clock === null || near.includes(clock)
        ? []
        : far.filter((one) => one.useTz === clock.useTz && fits(one, age)).map(zoneOf)
    return { ...base, clock, zones, age: newest === undefined ? null : age }
  }
  for (const age of newest === undefined ? [cookieAge] : [cookieAge, SESSION_COOKIE_AGE]) {
    const clock = [...near, ...far].find((one) => fits(one, age))
    if (clock !== undefined) return found(clock === used ? null : clock, age)
  }
  if (newest === undefined)
    return { ...NOTHING, because: "Django's newest sessions end at times that no time zone explains" }
  // The age is not known: a usual one under a probable clock, or else under the present one whatever it is.
  const clocks = own.length > 0 ? [...near, ...far] : near
  for (const clock of clocks) {
    const age = ageUnder(clock, newest, project)
    if (age > 0 && (ROUND_AGES.has(age) || age % DAY === 0 || own.length > 0) && fits(clock, age))
      return found(clock === used ? null : clock, age)
  }
  const age = ageUnder(used, newest, project)
  const other = [3600, 1800, 12 * 3600, DAY].flatMap((usual) =>
    far.filter((clock) => fits(clock, usual)).map((clock) => ({ clock, usual })),
  )[0]
  const doubt =
    other === undefined
      ? null
      : `SESSION_COOKIE_AGE=${other.usual} with USE_TZ=False and TIME_ZONE=${zoneOf(other.clock)} or another zone of ${offsetText(zoneOf(other.clock), project)}`
  return age > 0 && fits(used, age)
    ? { ...base, age, doubt }
    : { ...NOTHING, because: "Django's newest sessions end at times that no setting explains" }
}

/** Seconds from the time stamp to `expire_date`, as these settings read it. */
function secondsOf({ signedAt, expireDate }: Dated, clock: Clock, project: Project): number {
  const end = columnOf(clock, project).fromColumn(expireDate).getTime()
  return Math.floor((end - signedAt.getTime()) / 1000)
}

/** The age that Django added; ages are whole minutes nearly always, and the stamp is up to a second early. */
function ageUnder(clock: Clock, row: Dated, project: Project): number {
  const wall = wallClock(clock.useTz ? 'UTC' : clock.timeZone)
  const end = columnOf(clock, project).fromColumn(row.expireDate)
  const seconds = Math.floor((wall.digits(end) - wall.digits(row.signedAt)) / 1000)
  return [0, 1, 2].map((late) => seconds - late).find((age) => age % 60 === 0) ?? seconds
}

const DAY = 86_400
/** Ages that sites use, in seconds; besides whole days. */
const ROUND_AGES: ReadonlySet<number> = new Set(
  [1, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720].map((minutes) => minutes * 60),
)

function configuredClock({ settings, useTz }: Project): Clock {
  return { useTz, timeZone: settings.timeZone, databaseTimeZone: settings.sessionDatabaseTimeZone }
}

function isSame(a: Clock, b: Clock): boolean {
  return a.useTz === b.useTz && zoneOf(a) === zoneOf(b)
}

/** The zone that decides. */
function zoneOf({ useTz, timeZone, databaseTimeZone }: Clock): string {
  return useTz ? databaseTimeZone : timeZone
}

const UTC: Clock = { useTz: true, timeZone: 'UTC', databaseTimeZone: 'UTC' }

/** The present clock first, then those with one setting changed to a value that is known. */
function nearClocks(project: Project): Clock[] {
  const used = configuredClock(project)
  return [
    used,
    { ...used, useTz: !used.useTz },
    { ...used, useTz: true, databaseTimeZone: used.timeZone },
    { ...UTC, timeZone: used.timeZone },
  ]
}

/** USE_TZ=False in each well-known zone, then such a zone in DATABASES, in which summer time counts otherwise. */
function farClocks({ settings }: Project): Clock[] {
  return [false, true].flatMap((useTz) =>
    ZONES.map((zone) => ({
      useTz,
      timeZone: useTz ? settings.timeZone : zone,
      databaseTimeZone: useTz ? zone : 'UTC',
    })),
  )
}

/** A well-known city for each offset and rule of summer time; Django's own default first, then by offset. */
const ZONES: readonly string[] = [
  'America/Chicago',
  ...['Pacific/Pago_Pago', 'Pacific/Honolulu', 'Pacific/Marquesas', 'America/Anchorage'],
  ...['America/Los_Angeles', 'America/Denver', 'America/Phoenix', 'America/Mexico_City', 'America/New_York'],
  ...['America/Bogota', 'America/Halifax', 'America/Santiago', 'America/La_Paz', 'America/St_Johns'],
  ...['America/Sao_Paulo', 'America/Noronha', 'Atlantic/Azores', 'Atlantic/Cape_Verde', 'Europe/London'],
  ...['Africa/Abidjan', 'Europe/Berlin', 'Africa/Lagos', 'Europe/Athens', 'Africa/Johannesburg'],
  ...['Africa/Cairo', 'Asia/Jerusalem', 'Europe/Moscow', 'Asia/Tehran', 'Asia/Dubai', 'Asia/Kabul'],
  ...['Asia/Karachi', 'Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Dhaka', 'Asia/Yangon', 'Asia/Bangkok'],
  ...['Asia/Shanghai', 'Asia/Seoul', 'Asia/Tokyo', 'Australia/Darwin', 'Australia/Adelaide'],
  ...['Australia/Brisbane', 'Australia/Sydney', 'Pacific/Noumea', 'Pacific/Auckland', 'Pacific/Fiji'],
  ...['Pacific/Chatham', 'Pacific/Tongatapu', 'Pacific/Kiritimati'],
]

/** `UTC+09:00, e.g. Asia/Seoul` */
function zoneText(clock: Clock, zones: readonly string[], project: Project): string {
  const zone = zoneOf(clock)
  if (zone === 'UTC') return 'UTC'
  return `${offsetText(zone, project)}, ${zones.length === 0 ? `which is ${zone}` : `e.g. ${examples(zone, zones)}`}`
}

function offsetText(zone: string, { now }: Project): string {
  const minutes = Math.round((wallClock(zone).digits(now()) - now().getTime()) / 60_000)
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `UTC${minutes < 0 ? '-' : '+'}${String(hours).padStart(2, '0')}:${String(rest).padStart(2, '0')}`
}

function examples(zone: string, zones: readonly string[]): string {
  return [...new Set([zone, ...zones])].slice(0, 3).join(', ')
}

function clockHint(clock: Clock, zones: readonly string[], { settings }: Project): string {
  const zone = zoneOf(clock)
  const name = settings.sessionDatabase === null ? 'DATABASE_TIME_ZONE' : 'SESSION_DATABASE_TIME_ZONE'
  if (clock.useTz && zone === 'UTC') return `set USE_TZ=True, and leave ${name} empty`
  const [nearest = zone] = zones
  const naive = `set USE_TZ=False and TIME_ZONE=${nearest}`
  const aware = `USE_TZ=True and ${name}=${nearest}`
  const exact = zones.length === 0 ? '' : ` (the TIME_ZONE of settings.py, e.g. ${examples(zone, zones)})`
  return clock.useTz
    ? `set ${aware}${exact}`
    : `${naive}${exact}; or, if DATABASES in settings.py has a TIME_ZONE, ${aware}`
}
