import test from 'ava'
import {
  PythonDate,
  PythonDatetime,
  PythonTime,
  PythonTimedelta,
  PythonTimezone,
} from '../../src/django/pickle/datetimes.ts'
import {
  PythonByteArray,
  PythonDecimal,
  PythonFloat,
  PythonFrozenSet,
  PythonTuple,
  PythonUuid,
  SafeString,
} from '../../src/django/pickle/python-values.ts'
import { jsonValues, pickledKey, pickledValues } from '../../src/django/session-values.ts'

const berlin = new PythonTimezone({ kind: 'zoneinfo.ZoneInfo', zone: 'Europe/Berlin', fromCache: true })
const seoul = new PythonTimezone({
  kind: 'datetime.timezone',
  offset: new PythonTimedelta({ seconds: 9 * 3600 }),
  name: 'KST',
})
const autumn = { year: 2023, month: 10, day: 29, hour: 2, minute: 30 }

const values: Record<string, unknown> = {
  'a tuple': new PythonTuple([1, [new PythonTuple([])]]),
  'a Set': new Set(['a', 1, null]),
  'a frozenset': new PythonFrozenSet([new PythonTuple([1])]),
  'a Map': new Map<unknown, unknown>([
    [1, 'int'],
    ['a', new Uint8Array([0, 255])],
  ]),
  bytes: new Uint8Array([1, 2, 3]),
  'a bytearray': new PythonByteArray([1, 2, 3]),
  'an object that holds such a value': { ['__proto__']: new PythonTuple([1]), a: [1.5, 'x'] },
  'an integer of more digits than JSON may have': 10n ** 5000n,
  'a Decimal': new PythonDecimal('1.50'),
  'a UUID': new PythonUuid('12345678-9abc-def0-8234-56789abcdef0'),
  'a SafeString': new SafeString('<b>'),
  'a date': new PythonDate({ year: 1, month: 2, day: 28 }),
  'a time': new PythonTime({ hour: 23, microsecond: 5, timezone: seoul, fold: 1 }),
  'a naive datetime': new PythonDatetime(autumn),
  'a datetime in a zone': new PythonDatetime({ ...autumn, timezone: berlin, fold: 1 }),
  'a timedelta': new PythonTimedelta({ days: -1, seconds: 5 }),
}
for (const [name, value] of Object.entries(values)) {
  test(`${name} survives conversion to text and back, and JSON rejects it`, (t) => {
    const text = pickledValues.stringify(value)
    t.regex(text, /^\0pickle:\w+:/)
    t.deepEqual(pickledValues.parse(text), value)
    t.is(pickledValues.stringify(pickledValues.parse(text)), text)
    t.throws(() => jsonValues.stringify(value), { name: 'NotSerializable' })
  })
}

test('a value that JSON can represent has the same text for both serializers', (t) => {
  const plain = [
    null,
    true,
    0,
    -0,
    1.5,
    2 ** 60,
    12345678901234567890n,
    '홍\ud83d',
    [],
    { a: { b: [1] }, 10: 1 },
  ]
  for (const value of plain) {
    t.is(pickledValues.stringify(value), jsonValues.stringify(value))
    t.deepEqual(pickledValues.parse(pickledValues.stringify(value)), value)
  }
})

test('a float can be distinguished from an int', (t) => {
  t.is(pickledValues.stringify([new PythonFloat(1), 1]), '[1.0,1]')
})

const cycle: unknown[] = []
cycle.push(cycle)
const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
const refusals: [string, unknown, RegExp][] = [
  ['a Date', new Date(), /type Date cannot be pickled.*PythonDatetime\.fromDate/],
  ['a function', () => 1, /type function/],
  ['undefined', undefined, /type undefined.*store null/],
  ['an instance of a class', new URL('http://a'), /type URL/],
  ['a cycle', cycle, /Circular/],
  ['an object nested too deeply', nested(401), /Nesting of more than 400/],
  ['a Set of arrays', new Set([[1]]), /hash/],
  ['a Map with a key that is an array in a tuple', new Map([[new PythonTuple([[]]), 1]]), /hash/],
  ['an invalid Decimal', new PythonDecimal('1,5'), /PythonDecimal/],
  ['an invalid UUID', new PythonUuid('1'), /PythonUuid/],
  ['31 February', new PythonDate({ year: 2023, month: 2, day: 31 }), /not a valid date/],
  ['24:00', new PythonTime({ hour: 24 }), /not a valid time/],
]
for (const [name, value, message] of refusals) {
  test(`${name} cannot be stored in a pickled session`, (t) => {
    t.throws(() => pickledValues.stringify(value), { name: 'NotSerializable', message })
  })
}

test('a value nested as deep as Django can pickle again is stored', (t) => {
  t.is(pickledValues.stringify(nested(400)).length, 801)
})

test('pickledKey names a Python key that is not a str', (t) => {
  t.is(pickledKey('a'), 'a')
  t.is(pickledKey(1), '\0pickle:int:gARLAS4')
  t.is(pickledKey(new PythonTuple([1, 'a'])), '\0pickle:tuple:gARLAYwBYZSGLg')
  t.throws(() => pickledKey([1]), { name: 'NotSerializable' })
})

test('a datetime with a time zone is an instant, and prints as in Python', (t) => {
  const at = (parts: Partial<PythonDatetime>) => new PythonDatetime({ ...autumn, ...parts })
  t.is(at({}).toDate(), null)
  t.is(at({}).isoformat(), '2023-10-29T02:30:00')
  t.is(at({ timezone: PythonTimezone.utc }).isoformat(), '2023-10-29T02:30:00+00:00')
  t.is(at({ timezone: berlin }).isoformat(), '2023-10-29T02:30:00+02:00')
  t.is(at({ timezone: berlin, fold: 1 }).isoformat(), '2023-10-29T02:30:00+01:00')
  t.is(at({ timezone: berlin }).toDate()?.toISOString(), '2023-10-29T00:30:00.000Z')
  t.is(at({ timezone: berlin, fold: 1 }).toDate()?.toISOString(), '2023-10-29T01:30:00.000Z')
  t.is(at({ timezone: seoul, microsecond: 999_999 }).toDate()?.toISOString(), '2023-10-28T17:30:00.999Z')
  const pytz = new PythonTimezone({
    kind: 'pytz._p',
    zone: 'Europe/Berlin',
    local: { utcOffset: 3180, dst: 0, name: 'LMT' },
  })
  t.is(at({ timezone: pytz }).isoformat(), '2023-10-29T02:30:00+00:53')
  const odd = new PythonTimedelta({ seconds: -1, microseconds: -5 })
  const oddZone = new PythonTimezone({ kind: 'datetime.timezone', offset: odd, name: null })
  t.is(at({ timezone: oddZone }).isoformat(), '2023-10-29T02:30:00-00:00:01.000005')
  const unknown = new PythonTimezone({ kind: 'zoneinfo.ZoneInfo', zone: 'Mars/Base', fromCache: true })
  t.is(at({ timezone: unknown }).toDate(), null)
  const instant = new Date('2023-11-14T22:13:20.123Z')
  t.deepEqual(PythonDatetime.fromDate(instant).toDate(), instant)
})
