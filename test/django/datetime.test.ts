import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import {
  createDateColumn,
  isTimeZone,
  readIsoDate,
  wallClock,
  writeDigits,
} from '../../src/django/datetime.ts'

interface WallClockTable {
  zones: Record<
    string,
    { now: number; digits: string; later: { seconds: number; digits: string; instant: number }[] }[]
  >
}

interface IsoTable {
  rows: { text: string; reading: { digits: string; offset: number | null } | null }[]
}

interface ColumnTable {
  db: 'mysql' | 'sqlite' | 'pg'
  settings: { USE_TZ: boolean; TIME_ZONE: string }
  stored: { case: string; utcInstantOfExpiry: string; rawInDb: [string, string]; readBackByDjango: string }[]
  realClock: { utcNowPlusCookieAge: string; rawInDb: string }
}

interface NodeDate {
  intended?: string
  form: string
  rawInDb?: string
  secondsLeftSeenByDjango?: number | string | null
  deletedByClearsessions?: boolean
}

const { zones } = readJson<WallClockTable>('vectors/wall-clock.json')

const showsTheSameDigits = test.macro<[string]>({
  title: (_, zone) => `the wall clock of ${zone} agrees with Python's around every change`,
  exec(t, zone) {
    const clock = wallClock(zone)
    for (const { now, digits, later } of zones[zone] ?? []) {
      t.is(clock.digits(new Date(now * 1000)), utc(digits), `at ${now}`)
      for (const sum of later) {
        t.is(clock.digits(new Date(now * 1000)) + sum.seconds * 1000, utc(sum.digits))
        t.is(clock.instant(utc(sum.digits)).getTime(), sum.instant * 1000, sum.digits)
      }
    }
  },
})
for (const zone of Object.keys(zones)) test(showsTheSameDigits, zone)

test('ISO dates are parsed as by Python, and rejected where it raises', (t) => {
  for (const { text, reading } of readJson<IsoTable>('vectors/iso-dates.json').rows) {
    const date = readIsoDate(text)
    const read = date && { digits: date.digits, offset: date.offset }
    const expected = reading && {
      digits: utc(reading.digits),
      offset: reading.offset === null ? null : Math.trunc(reading.offset) * 1000,
    }
    t.deepEqual(read, expected, JSON.stringify(text))
  }
})

const storesAsDjango = test.macro<[string, ColumnTable]>({
  title: (_, file) => `column text and instant are the same as in Django: ${file}`,
  exec(t, _file, { db, settings, stored, realClock }) {
    const column = createDateColumn({
      database: db === 'pg' ? 'postgresql' : db,
      useTz: settings.USE_TZ,
      timeZone: settings.TIME_ZONE,
    })
    t.is(stored.length, 3)
    for (const { utcInstantOfExpiry, rawInDb } of stored) {
      const instant = new Date(utc(utcInstantOfExpiry))
      // Recorded from PostgreSQL with the time zone of the connection set to UTC.
      const text = db === 'pg' ? `${rawInDb[0]}+00` : rawInDb[0]
      t.deepEqual(column.fromColumn(text), instant)
      t.is(column.toColumn(instant), toMilliseconds(db === 'pg' ? postgres(utcInstantOfExpiry) : text))
    }
    // Django read the clock a few milliseconds later than the script.
    const late = column.fromColumn(realClock.rawInDb.trim()).getTime() - utc(realClock.utcNowPlusCookieAge)
    t.true(late >= 0 && late < 1000, `${late} ms`)
  },
})
for (const file of measuredTables('db-'))
  test(storesAsDjango, file, readJson<ColumnTable>(`measured/${file}`))

const readsBackByDjango = test.macro<
  [string, { database: 'mysql' | 'sqlite' | 'postgresql'; useTz: boolean }]
>({
  title: (_, file) => `Django reads our text as the instant that was meant: ${file}`,
  exec(t, file, options) {
    const column = createDateColumn({ ...options, timeZone: 'Asia/Seoul' })
    let seen = 0
    for (const { intended, form, rawInDb, secondsLeftSeenByDjango } of readJson<NodeDate[]>(
      `measured/${file}`,
    )) {
      if (intended === undefined || rawInDb === undefined || !/^\d{4}-/.test(rawInDb)) continue
      if (typeof secondsLeftSeenByDjango !== 'number') continue
      seen++
      // Each row should expire an hour later; Django rounds, and needed a moment.
      const off = column.fromColumn(rawInDb).getTime() - Date.parse(intended)
      t.is(off / 1000, Math.round((secondsLeftSeenByDjango - 3600) / 60) * 60, `${form}: ${rawInDb}`)
    }
    t.true(seen > 0)
  },
})
test(readsBackByDjango, 'node-dates-mysql-tz.json', { database: 'mysql', useTz: true })
test(readsBackByDjango, 'node-dates-mysql-naive.json', { database: 'mysql', useTz: false })
test(readsBackByDjango, 'node-dates-sqlite-tz.json', { database: 'sqlite', useTz: true })
test(readsBackByDjango, 'node-dates-sqlite-naive.json', { database: 'sqlite', useTz: false })
test(readsBackByDjango, 'node-dates-pg-tz.json', { database: 'postgresql', useTz: true })
test(readsBackByDjango, 'node-dates-pg-naive.json', { database: 'postgresql', useTz: false })

test('a fraction has six digits; only on SQLite a zero fraction is omitted', (t) => {
  const texts = (database: 'mysql' | 'sqlite' | 'postgresql') =>
    ['2035-11-28T22:13:20.123Z', '2035-11-28T22:13:20.000Z'].map((instant) =>
      createDateColumn({ database, useTz: true, timeZone: 'Asia/Seoul' }).toColumn(new Date(instant)),
    )
  t.deepEqual(texts('mysql'), ['2035-11-28 22:13:20.123000', '2035-11-28 22:13:20.000000'])
  t.deepEqual(texts('sqlite'), ['2035-11-28 22:13:20.123000', '2035-11-28 22:13:20'])
  t.deepEqual(texts('postgresql'), ['2035-11-28 22:13:20.123000+00:00', '2035-11-28 22:13:20.000000+00:00'])
})

test('a text with an offset is an instant, independent of the time zone of the connection', (t) => {
  const { fromColumn } = createDateColumn({ database: 'postgresql', useTz: false, timeZone: 'Europe/Berlin' })
  for (const text of [
    '2035-11-28 22:13:20.123456+00',
    '2035-11-29 07:13:20.123456+09',
    '2035-11-29 03:43:20.123456+05:30',
    '2035-11-28 18:43:20.123456-03:30',
    '2035-11-28 22:13:20.123Z',
  ]) {
    t.deepEqual(fromColumn(text), new Date('2035-11-28T22:13:20.123Z'), text)
  }
})

test('on SQLite the same malformed dates are accepted as by Django', (t) => {
  const { fromColumn } = createDateColumn({ database: 'sqlite', useTz: true, timeZone: 'Asia/Seoul' })
  const read = (text: string) => fromColumn(text).toISOString()
  t.is(read('2026-01-02T03:04:05.600Z'), '2026-01-02T03:04:05.600Z')
  t.is(read('2026-1-2 3:4:5.6'), '2026-01-02T03:04:05.600Z')
  t.is(read('2026-01-02 03:04:05 +09:00'), '2026-01-01T18:04:05.000Z')
  t.is(read('2026-01-02 03:04'), '2026-01-02T03:04:00.000Z')
  for (const text of [
    '',
    '1795426565760',
    'infinity',
    '0000-00-00 00:00:00',
    '2026-02-30 00:00:00',
    '2026-01-02 25:00',
  ]) {
    t.throws(() => fromColumn(text), { code: 'ERR_EXPIRE_DATE' }, text)
  }
})

test('the texts of a column sort like their instants', (t) => {
  for (const database of ['mysql', 'sqlite', 'postgresql'] as const) {
    const { toColumn } = createDateColumn({ database, useTz: true, timeZone: 'UTC' })
    const texts = [0, 1, 999, 1000, 1001, 60_000].map((ms) => toColumn(new Date(Date.UTC(2026, 10, 23) + ms)))
    t.deepEqual(
      texts,
      texts.toSorted((a, b) => (a < b ? -1 : 1)),
    )
  }
})

test('years before 1000 keep their leading zeros', (t) => {
  t.is(
    writeDigits(utc('0099-03-01 00:00:00'), { separator: 'T', fraction: 'unless zero' }),
    '0099-03-01T00:00:00',
  )
})

test('time zones are names, not offsets', (t) => {
  for (const name of [
    'UTC',
    'Asia/Seoul',
    'America/Chicago',
    'Australia/Lord_Howe',
    'Etc/GMT+5',
    'EST5EDT',
  ]) {
    t.true(isTimeZone(name), name)
  }
  for (const name of ['', 'Asia/Pyeongyang', '+09:00', 'UTC+9', 'Seoul', '../etc/passwd', '9']) {
    t.false(isTimeZone(name), name)
  }
  t.throws(() => wallClock('Asia/Pyeongyang'), { instanceOf: RangeError })
})

/** Parses `2035-11-28 22:13:20.123456` as UTC to milliseconds; microseconds are truncated. */
function utc(text: string): number {
  const [, digits = '', fraction = ''] = /^(\S+ [\d:]+)(?:\.(\d+))?(?:\+00:00)?$/.exec(text) ?? []
  return Date.parse(`${digits.replace(' ', 'T')}.${fraction.slice(0, 3).padEnd(3, '0')}Z`)
}

/** The text that Django sends to PostgreSQL for this instant. */
function postgres(text: string): string {
  return text.includes('.') ? text : text.replace('+', '.000000+')
}

function toMilliseconds(text: string): string {
  return text.replace(/(\.\d{3})\d{3}/, '$1000')
}

function measuredTables(prefix: string): string[] {
  const files = readdirSync(new URL('../measured/', import.meta.url)).filter((file) =>
    file.startsWith(prefix),
  )
  if (files.length === 0) throw new Error(`no ${prefix} table`)
  return files
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'))
}
