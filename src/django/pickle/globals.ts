/** The classes and functions with which Python pickles plain data, implemented as functions of their pickled arguments. */
import {
  isClock,
  isDate,
  isTimedelta,
  PythonDate,
  PythonDatetime,
  PythonTime,
  PythonTimedelta,
  PythonTimezone,
  type ZoneSource,
} from './datetimes.ts'
import { PickleRefused } from './errors.ts'
import { type DictNode, isHashable, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { isDecimal, PythonByteArray, PythonDecimal, PythonUuid, SafeString } from './python-values.ts'

/** A class or function that a pickle names. It can be called, or be an argument of a call; it is never data. */
export class Global {
  readonly name: string
  /** REDUCE: the result of calling it; null if Python does not pickle such a call. */
  readonly call: ((args: readonly Argument[]) => Node | Global | null) | null
  /** NEWOBJ: the result of `cls.__new__(cls, *args)`; null if Python does not pickle such a call. */
  readonly make: ((args: readonly Argument[]) => Node | null) | null

  constructor(name: string, call: Global['call'], make: Global['make'] = null) {
    this.name = name
    this.call = call
    this.make = make
  }
}

/** Returns the class or function with this name in the pickle. @throws {PickleRefused} for an unknown one. */
export function globalNamed(module: string, name: string): Global {
  const full = `${OLD_MODULES.get(module) ?? module}.${name}`
  const found = GLOBALS.get(full)
  if (found !== undefined) return found
  throw new PickleRefused(IDENTIFIER.test(full) ? full : 'a class with an invalid name')
}

/** Creates a tuple; it is hashable if all its items are. */
export function tupleOf(items: readonly Node[]): TupleNode {
  return new TupleNode(items, items.every(isHashable))
}

/** An item of the stack: data, or a class or function as an argument of a call. A tuple, list or dict may contain both. */
export type Argument = Node | Global

/** Sets the value of a UUID from its pickled state. Source: CPython's Lib/uuid.py, __setstate__. */
export function completeUuid(node: UuidNode, state: DictNode): void {
  const integer = state.get('int')
  const isSafe = state.get('is_safe') ?? null
  const value = typeof integer === 'number' ? BigInt(integer) : integer
  const isKnown = isSafe === null || typeof isSafe === 'number'
  if (typeof value !== 'bigint' || value < 0n || value >= 2n ** 128n || !isKnown)
    throw unexpectedArguments('uuid.UUID')
  const digits = value.toString(16).padStart(32, '0')
  node.uuid = new PythonUuid(digits.replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), isSafe)
}

/** The error for a call with arguments that Python does not pickle. */
export function unexpectedArguments(name: string): PickleRefused {
  return new PickleRefused(`${name} with unexpected arguments`)
}

const IDENTIFIER = /^[A-Za-z_][\w.]{0,200}$/

/** Python 2's names, which protocols 0 to 2 use. Source: CPython's Lib/_compat_pickle.py. */
const OLD_MODULES: ReadonlyMap<string, string> = new Map([
  ['__builtin__', 'builtins'],
  ['copy_reg', 'copyreg'],
])

const objectClass = new Global('builtins.object', null)
const strClass = new Global('builtins.str', null)
const uuidClass = new Global('uuid.UUID', null, ([...rest]) =>
  rest.length === 0 ? new UuidNode(null) : null,
)
const safeClasses = (['SafeString', 'SafeText'] as const).map(
  (name) =>
    new Global(`django.utils.safestring.${name}`, null, ([text, ...rest]) =>
      typeof text === 'string' && rest.length === 0 ? new SafeString(text, name) : null,
    ),
)

const zoneInfos = (['zoneinfo.ZoneInfo', 'backports.zoneinfo.ZoneInfo'] as const).map((kind) => {
  const unpickle = new Global(`${kind}._unpickle`, ([zone, fromCache, ...rest]) => {
    if (!isZoneName(zone) || (fromCache !== 0 && fromCache !== 1) || rest.length > 0) return null
    return new PythonTimezone({ kind, zone, fromCache: fromCache === 1 })
  })
  return { kind, zoneInfo: new Global(kind, null), unpickle }
})

const GLOBALS: ReadonlyMap<string, Global> = new Map(
  [
    objectClass,
    strClass,
    uuidClass,
    ...safeClasses,
    ...zoneInfos.flatMap(({ zoneInfo, unpickle }) => [zoneInfo, unpickle]),
    new Global('_codecs.encode', ([text, encoding, ...rest]) =>
      typeof text === 'string' && encoding === 'latin1' && rest.length === 0 ? latin1(text) : null,
    ),
    new Global('builtins.bytes', (args) => (args.length === 0 ? new Uint8Array() : null)),
    new Global('builtins.bytearray', (args) => {
      const [content = new Uint8Array(), encoding = null] = args
      const bytes = typeof content === 'string' && encoding === 'latin-1' ? latin1(content) : content
      const isKnown = args.length <= 2 && (encoding === null || content !== bytes)
      return isKnown && isBytes(bytes) ? new PythonByteArray(bytes) : null
    }),
    new Global('builtins.set', (args) => setOf(args, false)),
    new Global('builtins.frozenset', (args) => setOf(args, true)),
    new Global('builtins.getattr', ([object, attribute, ...rest]) => {
      const found = zoneInfos.find(({ zoneInfo }) => zoneInfo === object)
      return attribute === '_unpickle' && rest.length === 0 ? (found?.unpickle ?? null) : null
    }),
    new Global('copyreg._reconstructor', ([cls, base, state, ...rest]) => {
      if (!(cls instanceof Global) || rest.length > 0) return null
      if (cls === uuidClass && base === objectClass && state === null) return new UuidNode(null)
      return base === strClass && state !== undefined ? (cls.make?.([state]) ?? null) : null
    }),
    new Global('decimal.Decimal', ([text, ...rest]) =>
      typeof text === 'string' && isDecimal(text) && rest.length === 0 ? new PythonDecimal(text) : null,
    ),
    new Global('datetime.date', ([state, ...rest]) => {
      if (!isBytes(state) || state.length !== 4 || rest.length > 0) return null
      const date = dateOf(state, 0xff)
      return isDate(date) ? new PythonDate(date) : null
    }),
    new Global('datetime.time', ([state, timezone = null, ...rest]) => {
      if (!isBytes(state) || state.length !== 6 || !isTimezoneOrNull(timezone) || rest.length > 0) return null
      const time = new PythonTime({ ...clockOf(state, 0x7f), timezone, fold: foldOf(state[0]) })
      return isClock(time) ? time : null
    }),
    new Global('datetime.datetime', ([state, timezone = null, ...rest]) => {
      if (!isBytes(state) || state.length !== 10 || !isTimezoneOrNull(timezone) || rest.length > 0)
        return null
      const clock = clockOf(state.subarray(4), 0xff)
      const datetime = new PythonDatetime({
        ...dateOf(state, 0x7f),
        ...clock,
        timezone,
        fold: foldOf(state[2]),
      })
      return isDate(datetime) && isClock(datetime) ? datetime : null
    }),
    new Global('datetime.timedelta', ([days, seconds, microseconds, ...rest]) => {
      if (typeof days !== 'number' || typeof seconds !== 'number' || typeof microseconds !== 'number')
        return null
      const delta = new PythonTimedelta({ days, seconds, microseconds })
      return isTimedelta(delta) && rest.length === 0 ? delta : null
    }),
    new Global('datetime.timezone', ([offset, name = null, ...rest]) => {
      if (!(offset instanceof PythonTimedelta) || rest.length > 0) return null
      if (offset.days !== 0 && (offset.days !== -1 || offset.totalSeconds() === -86_400)) return null
      if (name !== null && !isZoneName(name)) return null
      return new PythonTimezone({ kind: 'datetime.timezone', offset, name })
    }),
    new Global('pytz._UTC', (args) => (args.length === 0 ? PythonTimezone.pytzUtc : null)),
    new Global('pytz.FixedOffset', ([minutes, ...rest]) => {
      if (typeof minutes !== 'number' || Math.abs(minutes) >= 1440 || rest.length > 0) return null
      return new PythonTimezone({ kind: 'pytz.FixedOffset', minutes })
    }),
    new Global('pytz._p', (args) => {
      const source = pytzSource(args)
      return source === null ? null : new PythonTimezone(source)
    }),
  ].map((each) => [each.name, each]),
)

function pytzSource([zone, utcOffset, dst, name, ...rest]: readonly Argument[]): ZoneSource | null {
  if (!isZoneName(zone) || rest.length > 0) return null
  if (utcOffset === undefined) return { kind: 'pytz._p', zone, local: null }
  const isOffset = (seconds: Argument | undefined) =>
    typeof seconds === 'number' && Math.abs(seconds) < 86_400
  if (!isOffset(utcOffset) || !isOffset(dst) || !isZoneName(name)) return null
  return { kind: 'pytz._p', zone, local: { utcOffset: Number(utcOffset), dst: Number(dst), name } }
}

function setOf([items, ...rest]: readonly Argument[], isFrozen: boolean): SetNode | null {
  if (!Array.isArray(items) || rest.length > 0 || !items.every(isHashable)) return null
  return new SetNode([...(items as Node[])], isFrozen)
}

function latin1(text: string): Uint8Array | null {
  return /[^\0-\xff]/.test(text) ? null : new Uint8Array(Buffer.from(text, 'latin1'))
}

function dateOf(
  [high = 0, low = 0, month = 0, day = 0]: Uint8Array,
  monthMask: number,
): {
  year: number
  month: number
  day: number
} {
  return { year: high * 256 + low, month: month & monthMask, day }
}

function clockOf(
  state: Uint8Array,
  hourMask: number,
): {
  hour: number
  minute: number
  second: number
  microsecond: number
} {
  const [hour = 0, minute = 0, second = 0, high = 0, middle = 0, low = 0] = state
  return { hour: hour & hourMask, minute, second, microsecond: (high * 256 + middle) * 256 + low }
}

/** The fold is the highest bit of the hour of a time, or of the month of a datetime. */
function foldOf(byte = 0): 0 | 1 {
  return byte > 0x7f ? 1 : 0
}

function isBytes(value: Argument | undefined): value is Uint8Array {
  return value instanceof Uint8Array && !(value instanceof PythonByteArray)
}

function isZoneName(value: Argument | undefined): value is string {
  return typeof value === 'string' && value.length < 200
}

function isTimezoneOrNull(value: Argument): value is PythonTimezone | null {
  return value === null || value instanceof PythonTimezone
}
