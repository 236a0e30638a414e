import { readFileSync } from 'node:fs'
import test from 'ava'
import { wallClock } from '../../src/django/datetime.ts'
import {
  type ExpiryRules,
  expiryToStore,
  getExpireAtBrowserClose,
  getExpiryAge,
  getExpiryDate,
} from '../../src/django/expiry.ts'
import { versionProfile } from '../../src/django/versions.ts'

/** The result of a call on real Django: JSON text, or an exception. */
type Outcome = { returns: string } | { raises: string }

interface ExpiryVector {
  value: string
  useTz: boolean
  timeZone: string
  now: string
  encode: { json: string } | { raises: string }
  get_expiry_age: Outcome
  get_expiry_date: Outcome
  get_expire_at_browser_close: Outcome
}

interface WallClockTable {
  zones: Record<string, { now: number; later: { seconds: number; instant: number; digits: string }[] }[]>
}

const SEOUL: ExpiryRules = {
  cookieAge: 1209600,
  expireAtBrowserClose: false,
  useTz: false,
  timeZone: 'Asia/Seoul',
  storesIsoExpiry: true,
}
const INVALID = { code: 'ERR_SESSION_EXPIRY', name: 'InvalidSessionExpiry', instanceOf: TypeError }

const agrees = test.macro<[string, ExpiryVector]>({
  title: (_, version, { value, useTz }) =>
    `Django ${version}, USE_TZ=${useTz}: expiry ${value} is what Django says`,
  exec(t, version, vector) {
    const rules = rulesOf(version, vector)
    const now = instantOf(vector.now, rules)
    if ('raises' in vector.encode) {
      // Older Django versions store a datetime object, which JSON cannot represent.
      t.throws(() => expiryToStore(now, rules, now), { ...INVALID, message: /pass a number of seconds/ })
      t.throws(() => expiryToStore({ seconds: 90 }, rules, now), INVALID)
      return
    }
    const expiry = JSON.parse(vector.encode.json)._session_expiry

    const { get_expiry_age: age, get_expiry_date: date, get_expire_at_browser_close: close } = vector
    // Django returns a text or list that it cannot read; adding it to the time raises one line later.
    if ('raises' in age || !/^(-?[\d.]+|true)$/.test(age.returns))
      t.throws(() => getExpiryAge(expiry, rules, now), INVALID)
    else t.is(getExpiryAge(expiry, rules, now), Number(JSON.parse(age.returns)))

    if ('raises' in date) t.throws(() => getExpiryDate(expiry, rules, now), INVALID)
    else t.deepEqual(getExpiryDate(expiry, rules, now), instantOf(JSON.parse(date.returns), rules))

    t.deepEqual(
      { returns: JSON.stringify(getExpireAtBrowserClose(expiry, rules)) },
      { returns: returned(close) },
    )

    const set = valueSet(vector.value, expiry, rules)
    if (set !== 'nothing we can say') {
      const stored = expiryToStore(set, rules, now)
      t.is(stored, typeof expiry === 'string' ? expiry.replace(/(\.\d{3})\d{3}/, '$1000') : expiry)
    }
  },
})
for (const version of ['2.2', '3.2', '4.2', '5.2', '6.1']) {
  const { expiry } = readJson<{ expiry: ExpiryVector[] }>(`vectors/django-${version}.json`)
  if (expiry.length !== 58) throw new Error(`${expiry.length} vectors, not 58`)
  for (const vector of expiry) test(agrees, version, vector)
}

const addsToTheWallClock = test.macro<[string]>({
  title: (_, zone) => `USE_TZ=False: seconds are added to the wall clock of ${zone}, across its changes`,
  exec(t, timeZone) {
    const rules = { ...SEOUL, timeZone }
    for (const { now: seconds, later } of readJson<WallClockTable>('vectors/wall-clock.json').zones[
      timeZone
    ] ?? []) {
      const now = new Date(seconds * 1000)
      for (const sum of later) {
        if (sum.seconds === 0) continue
        t.is(
          getExpiryDate(sum.seconds, rules, now).getTime(),
          sum.instant * 1000,
          `${seconds} + ${sum.seconds}`,
        )
        const iso = sum.digits.replace(' ', 'T')
        t.is(expiryToStore({ seconds: sum.seconds }, rules, now), iso)
        t.is(getExpiryAge(iso, rules, now), sum.seconds)
        t.is(getExpiryDate(iso, rules, now).getTime(), sum.instant * 1000)
      }
    }
  },
})
for (const zone of [
  'America/Chicago',
  'Asia/Seoul',
  'Australia/Lord_Howe',
  'Europe/Berlin',
  'Pacific/Apia',
]) {
  test(addsToTheWallClock, zone)
}

test('USE_TZ=True: seconds are exact, also across a change of the clock', (t) => {
  const rules = { ...SEOUL, useTz: true, timeZone: 'Europe/Berlin' }
  const now = new Date('2026-03-28T12:00:00Z')
  t.deepEqual(getExpiryDate(86400, rules, now), new Date('2026-03-29T12:00:00Z'))
  t.is(expiryToStore({ seconds: 86400 }, rules, now), '2026-03-29T12:00:00+00:00')
  t.is(getExpiryAge('2026-03-29T14:00:00.999999+02:00', rules, now), 86400)
  t.is(getExpiryAge('2026-03-28T12:59:59.999999+01:00', rules, now), -1)
})

test('USE_TZ=True: a date without an offset is saved as one in TIME_ZONE, but its age is an error', (t) => {
  const rules = { ...SEOUL, useTz: true }
  const now = new Date('2023-11-14T22:13:20Z')
  t.deepEqual(getExpiryDate('2035-11-15T08:00:00', rules, now), new Date('2035-11-14T23:00:00Z'))
  t.throws(() => getExpiryAge('2035-11-15T08:00:00', rules, now), INVALID)
})

test('an empty list or object counts as no expiry, NaN as an invalid number', (t) => {
  const now = new Date('2026-11-23T00:00:00Z')
  for (const empty of [[], {}, 0n, -0]) {
    t.is(getExpiryAge(empty, SEOUL, now), 1209600)
    t.deepEqual(getExpiryDate(empty, SEOUL, now), new Date('2026-12-07T00:00:00Z'))
  }
  t.true(getExpireAtBrowserClose(0n, SEOUL))
  t.false(getExpireAtBrowserClose([], SEOUL))
  t.is(getExpiryAge(NaN, SEOUL, now), NaN)
  for (const endless of [NaN, Infinity, 10n ** 400n, -1e12])
    t.throws(() => getExpiryDate(endless, SEOUL, now), INVALID)
})

test('an invalid Date is rejected', (t) => {
  t.throws(() => expiryToStore(new Date(NaN), SEOUL, new Date()), INVALID)
  t.throws(() => expiryToStore({ seconds: NaN }, SEOUL, new Date()), INVALID)
})

test('SESSION_EXPIRE_AT_BROWSER_CLOSE decides if the session has no expiry', (t) => {
  const rules = { ...SEOUL, expireAtBrowserClose: true }
  t.true(getExpireAtBrowserClose(undefined, rules))
  t.true(getExpireAtBrowserClose(null, rules))
  t.false(getExpireAtBrowserClose(300, rules))
})

test('error messages do not contain session data', (t) => {
  const error = t.throws(() => getExpiryAge('my secret', SEOUL, new Date()), INVALID)
  t.notRegex(error?.message ?? '', /secret/)
})

function rulesOf(version: string, { useTz, timeZone }: ExpiryVector): ExpiryRules {
  return { ...SEOUL, useTz, timeZone, storesIsoExpiry: versionProfile(version).storesIsoExpiry }
}

/** The instant of Python's `str(datetime)`, truncated to milliseconds; a naive text is a wall clock time in TIME_ZONE. */
function instantOf(text: string, { timeZone }: ExpiryRules): Date {
  const [, digits = '', fraction = '', offset] = /^(\S+ [\d:]+)(?:\.(\d+))?([+-].+)?$/.exec(text) ?? []
  const iso = `${digits.replace(' ', 'T')}.${fraction.slice(0, 3).padEnd(3, '0')}`
  return offset === undefined ? wallClock(timeZone).instant(Date.parse(`${iso}Z`)) : new Date(iso + offset)
}

/** The argument of our set_expiry for this value; a datetime that does not match USE_TZ has no counterpart. */
function valueSet(
  value: string,
  expiry: unknown,
  { useTz }: ExpiryRules,
): number | Date | { seconds: number } | null | 'nothing we can say' {
  if (value === 'none') return null
  if (value === 'timedelta_90s') return { seconds: 90 }
  if (value === 'timedelta_10d_us') return { seconds: 864000.500001 }
  if (typeof expiry === 'number') return expiry
  if (useTz && typeof expiry === 'string' && /^dt_.*utc/.test(value)) return new Date(expiry)
  if (!useTz && value.startsWith('dt_naive')) return new Date(`${expiry}+09:00`)
  return 'nothing we can say'
}

function returned(outcome: Outcome): string {
  return 'returns' in outcome ? outcome.returns : outcome.raises
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'))
}
