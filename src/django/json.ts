/**
 * Reads and writes JSON like Python's `json` module. Source: CPython's Lib/json and Modules/_json.c, as used by
 * django/core/signing.py, JSONSerializer.
 */

/** Key to JSON text. The values stay text, so that an unchanged value is written back byte for byte. */
export type SessionData = ReadonlyMap<string, string>

/**
 * The prefix of the text of a value that JSON cannot represent, or of a key that is not a str: see pickle/notation.ts. The
 * name of its Python type follows, then a colon. In a key, a colon directly after the prefix means that the key is a str
 * which itself begins with this prefix.
 */
export const MARK = '\0pickle:'

/** A JSON value in JavaScript. Integers beyond ±(2^53 - 1) are bigint; all other numbers, including floats, are number. */
export type PythonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PythonValue[]
  | { [key: string]: PythonValue }

/**
 * Largest nesting that is read: brackets inside the outermost one.
 * Unlike Django, which reads as deep as the stack of its Python allows (900 on Python 3.9 to 3.11, over 5000 on 3.13) and
 * treats deeper data as an empty session, the limit is fixed, and high enough for all that any Django can write.
 */
export const MAX_NESTING = 5000

/** Largest nesting that is written: Django can read it on every Python. */
export const MAX_WRITTEN_NESTING = 900

/** Python does not parse or print an integer with more digits (`sys.int_info.default_max_str_digits`). */
export const MAX_INT_DIGITS = 4300

/** Python's json.loads would reject this text. `position` counts UTF-16 units from 0. */
export class JSONDecodeError extends Error {
  override name = 'JSONDecodeError'
  readonly code: string = 'ERR_JSON_DECODE'
  readonly position: number

  constructor(problem: string, position: number) {
    super(`${problem}: char ${position}`)
    this.position = position
  }
}

/** The text is JSON but not an object, as session data must be. */
export class NotAnObject extends Error {
  override name = 'NotAnObject'
  readonly code: string = 'ERR_NOT_AN_OBJECT'
}

/** The value has no JSON form that Django would read back. */
export class NotSerializable extends TypeError {
  override name = 'NotSerializable'
  readonly code: string = 'ERR_NOT_SERIALIZABLE'
}

/**
 * Parses an object to key and JSON text, in the order of first appearance; of equal keys the last value wins. The whole
 * text is checked as by json.loads, but no values are built.
 * @throws {JSONDecodeError} if Python's json.loads would reject the text.
 * @throws {NotAnObject} if it is another value.
 */
export function parseObject(text: string): SessionData {
  const data = new Map<string, string>()
  let depth = 0
  let key = ''
  let start = 0
  let isObject = false
  walk(text, {
    open(at) {
      if (depth === 0) isObject = text.charCodeAt(at) === OPEN_OBJECT
      if (depth === 1) start = at
      depth += 1
    },
    key(at, end) {
      if (depth !== 1) return
      key = unquote(text.slice(at, end))
      if (key.startsWith(MARK)) key = `${MARK}:${key.slice(MARK.length)}`
    },
    scalar(at, end) {
      if (depth === 1) data.set(key, text.slice(at, end))
    },
    close(end) {
      depth -= 1
      if (depth === 1) data.set(key, text.slice(start, end))
    },
  })
  if (!isObject) throw new NotAnObject('Session data must be a JSON object; this is another JSON value')
  return data
}

/**
 * Returns the JSON text of an object: keys escaped as in Python, the text of values unchanged. The inverse of
 * `parseObject`.
 * @throws {NotSerializable} for a key or value that can only be stored as a pickle.
 */
export function stringifyObject(data: SessionData): string {
  let members = ''
  for (const [key, text] of data) {
    if (text.startsWith(MARK)) throw refusalOfPickled('value', text)
    members += `${members === '' ? '' : ','}${quote(key.startsWith(MARK) ? unmarkedKey(key) : key)}:${text}`
  }
  return `{${members}}`
}

/**
 * Parses a JSON text. Objects are plain objects; `__proto__` is an own property like any other.
 * @throws {JSONDecodeError} if Python's json.loads would reject the text.
 */
export function parseValue(text: string): PythonValue {
  return build<PythonValue>(text, {
    scalar: parseScalar,
    array: (items) => items,
    object: (members) => {
      const object: { [key: string]: PythonValue } = {}
      for (const [key, value] of members) {
        if (key !== '__proto__') object[key] = value
        else
          Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
      }
      return object
    },
  })
}

/**
 * Returns exactly the output of Python's `json.dumps(value, separators=(",", ":"))`. A safe integer (except -0) becomes an
 * int, any other number a float. Of an object, the own enumerable string keys are written; undefined properties are omitted.
 * @throws {NotSerializable} for a value that Django could not read back unchanged: other types, class instances, cycles,
 * nesting beyond MAX_WRITTEN_NESTING and integers beyond MAX_INT_DIGITS.
 */
export function stringifyValue(value: unknown): string {
  return stringify(value, [])
}

/**
 * Returns the output of `json.dumps(json.loads(text), separators=(",", ":"))`: floats as by repr, Python's escapes, no
 * spaces; of equal keys the last value, at the position of the first. Integers of any size stay exact.
 * @throws {JSONDecodeError} if Python's json.loads would reject the text.
 */
export function canonicalize(text: string): string {
  return build<string>(text, {
    scalar: canonicalizeScalar,
    array: (items) => {
      // Concatenated, because join would copy the text once for each level of nesting.
      let list = ''
      for (const item of items) list += list === '' ? item : `,${item}`
      return `[${list}]`
    },
    object: (members) => {
      let object = ''
      for (const [key, value] of members) object += `${object === '' ? '' : ','}${quote(key)}:${value}`
      return `{${object}}`
    },
  })
}

/**
 * Encodes JSON text like Django's serializer: as latin-1. Other characters are escaped, which JSON allows wherever they can
 * occur.
 */
export function encodeJson(json: string): Buffer {
  return Buffer.from(json.replace(NON_LATIN1, escapeUnit), 'latin1')
}

const NON_LATIN1 = /[^\0-\xff]/g
const NON_ASCII = /[\x7f-\uffff]/g
/** A number of this form is an int in Python; any other is a float. */
export const INTEGER: RegExp = /^-?\d+$/
const SCALAR = /-?(?:(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|Infinity)|true|false|null|NaN/y
const HEX4 = /^[0-9a-fA-F]{4}$/

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** The callbacks of `walk`. Positions are indexes of the text; `end` is exclusive. */
interface Events {
  open(at: number): void
  key(at: number, end: number): void
  scalar(at: number, end: number): void
  close(end: number): void
}

/** Scans the whole text once, without recursion, and calls `on` for each key and value. */
function walk(text: string, on: Events): void {
  const closers: number[] = []
  let at = 0
  for (;;) {
    at = skipBlanks(text, at)
    const first = text.charCodeAt(at)
    if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
      if (closers.length > MAX_NESTING) throw new JSONDecodeError('Nested too deeply', at)
      on.open(at)
      const closer = first + 2 // ']' follows '[', and '}' '{', at a distance of two
      closers.push(closer)
      at = skipBlanks(text, at + 1)
      if (text.charCodeAt(at) !== closer) {
        if (first === OPEN_OBJECT) at = walkKey(text, at, on)
        continue
      }
    } else {
      const end = endOfScalar(text, at)
      on.scalar(at, end)
      at = end
    }
    // After a value: close the containers that end here, up to the comma before the next value.
    for (;;) {
      at = skipBlanks(text, at)
      const closer = closers.at(-1)
      if (closer === undefined) {
        if (at < text.length) throw new JSONDecodeError('Extra data', at)
        return
      }
      const next = text.charCodeAt(at)
      at += 1
      if (next === COMMA) {
        if (closer === CLOSE_OBJECT) at = walkKey(text, skipBlanks(text, at), on)
        break
      }
      if (next !== closer) throw new JSONDecodeError("Expecting ',' delimiter", at - 1)
      closers.pop()
      on.close(at)
    }
  }
}

/** Scans a key and its colon; returns the position after them. */
function walkKey(text: string, at: number, on: Events): number {
  if (text.charCodeAt(at) !== QUOTE) throw new JSONDecodeError('Expecting property name', at)
  const end = endOfString(text, at)
  on.key(at, end)
  const colon = skipBlanks(text, end)
  if (text.charCodeAt(colon) !== COLON) throw new JSONDecodeError("Expecting ':' delimiter", colon)
  return colon + 1
}

function skipBlanks(text: string, start: number): number {
  for (let at = start; ; at += 1) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
  }
}

function endOfScalar(text: string, at: number): number {
  if (text.charCodeAt(at) === QUOTE) return endOfString(text, at)
  SCALAR.lastIndex = at
  if (!SCALAR.test(text)) throw new JSONDecodeError('Expecting value', at)
  const end = SCALAR.lastIndex
  if (end - at > MAX_INT_DIGITS) refuseLongInteger(text.slice(at, end), at)
  return end
}

function refuseLongInteger(number: string, at: number): void {
  if (INTEGER.test(number) && digitCount(number) > MAX_INT_DIGITS) {
    throw new JSONDecodeError(`An integer has more than ${MAX_INT_DIGITS} digits`, at)
  }
}

function digitCount(integer: string): number {
  return integer.startsWith('-') ? integer.length - 1 : integer.length
}

function endOfString(text: string, quote: number): number {
  for (let at = quote + 1; ; at += 1) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return at + 1
    if (code === BACKSLASH) {
      at += 1
      if (text[at] === 'u') {
        if (!HEX4.test(text.slice(at + 1, at + 5))) throw new JSONDecodeError('Invalid \\uXXXX escape', at)
        at += 4
      } else if (at >= text.length || !'"\\/bfnrt'.includes(text.charAt(at))) {
        throw new JSONDecodeError('Invalid \\escape', at)
      }
    } else if (!(code >= 0x20)) {
      // At the end of the text `code` is NaN, which is not >= 0x20 either.
      throw new JSONDecodeError(at < text.length ? 'Invalid control character' : 'Unterminated string', at)
    }
  }
}

/** The functions with which `build` creates values. */
export interface Builder<T> {
  /** `text` is a number, a string in quotes, or `true`, `false`, `null`. */
  scalar(text: string): T
  array(items: T[]): T
  /** Of equal keys, `members` has the last value at the position of the first. */
  object(members: Map<string, T>): T
}

interface Container<T> {
  readonly items: T[]
  readonly members: Map<string, T> | null
  key: string
}

/**
 * Builds a value from a JSON text, from the inside out.
 * @throws {JSONDecodeError} if Python's json.loads would reject the text.
 */
export function build<T>(text: string, make: Builder<T>): T {
  const open: Container<T>[] = []
  let outermost: T | undefined
  const add = (value: T) => {
    const parent = open.at(-1)
    if (parent === undefined) outermost = value
    else if (parent.members === null) parent.items.push(value)
    else parent.members.set(parent.key, value)
  }
  walk(text, {
    open(at) {
      open.push({ items: [], members: text.charCodeAt(at) === OPEN_OBJECT ? new Map() : null, key: '' })
    },
    key(at, end) {
      const parent = open.at(-1)
      if (parent !== undefined) parent.key = unquote(text.slice(at, end))
    },
    scalar(at, end) {
      add(make.scalar(text.slice(at, end)))
    },
    close() {
      const container = open.pop()
      if (container !== undefined) {
        add(container.members === null ? make.array(container.items) : make.object(container.members))
      }
    },
  })
  return outermost as T // walk either finds exactly one outermost value or throws
}

/** Returns the JavaScript value of a scalar. */
export function parseScalar(text: string): null | boolean | number | bigint | string {
  if (text === 'null') return null
  if (text === 'true') return true
  if (text === 'false') return false
  if (text.startsWith('"')) return unquote(text)
  const number = Number(text)
  if (!INTEGER.test(text)) return number
  if (!Number.isSafeInteger(number)) return BigInt(text)
  return number === 0 ? 0 : number // Python's integers have no -0
}

function canonicalizeScalar(text: string): string {
  if (text === 'null' || text === 'true' || text === 'false') return text
  if (text.startsWith('"')) return quote(unquote(text))
  if (!INTEGER.test(text)) return pythonFloat(Number(text))
  return text === '-0' ? '0' : text
}

/** Decodes a valid JSON string in quotes. JavaScript and Python join the halves of a surrogate pair in the same way. */
function unquote(text: string): string {
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1)
}

/** Encodes a string as Python does: like JSON.stringify, but DEL and all non-ASCII characters are escaped (ensure_ascii). */
export function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(NON_ASCII, escapeUnit)
}

/** Nothing in it needs an escape. */
const PLAIN = /^[ !#-[\]-~]*$/

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Formats a float like Python's repr: the same digits as in JavaScript, in another notation. */
export function pythonFloat(number: number): string {
  if (!Number.isFinite(number)) return String(number)
  if (Object.is(number, -0)) return '-0.0'
  const size = Math.abs(number)
  if (size >= 1e16 || (size < 1e-4 && size > 0)) {
    return number.toExponential().replace(/(?<=e[+-])(?=\d$)/, '0') // an exponent has at least two digits
  }
  return Number.isInteger(number) ? `${number}.0` : String(number)
}

function stringify(value: unknown, parents: object[]): string {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'boolean':
      return String(value)
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : pythonFloat(value)
    case 'bigint':
      return stringifyBigint(value)
    case 'object':
      return value === null ? 'null' : stringifyContainer(value, parents)
    default:
      throw refusal(typeof value)
  }
}

function stringifyBigint(value: bigint): string {
  const text = String(value)
  if (digitCount(text) <= MAX_INT_DIGITS) return text
  throw new NotSerializable(
    `An integer of more than ${MAX_INT_DIGITS} digits makes the session unreadable for Django; store it as a string`,
  )
}

function stringifyContainer(value: object, parents: object[]): string {
  if (parents.includes(value)) throw new NotSerializable('Circular reference detected; store a tree')
  if (parents.length >= MAX_WRITTEN_NESTING) {
    throw new NotSerializable(
      `Nesting of more than ${MAX_WRITTEN_NESTING} levels makes the session unreadable for Django; store a flatter value`,
    )
  }
  parents.push(value)
  const text = Array.isArray(value) ? stringifyArray(value, parents) : stringifyMembers(value, parents)
  parents.pop()
  return text
}

function stringifyArray(value: readonly unknown[], parents: object[]): string {
  return `[${Array.from(value, (item) => stringify(item, parents)).join(',')}]`
}

function stringifyMembers(value: object, parents: object[]): string {
  if (!isPlain(value)) throw refusal(typeName(value))
  const members: string[] = []
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${quote(key)}:${stringify(member, parents)}`)
  }
  return `{${members.join(',')}}`
}

/** Whether an object was created by `{}` or `Object.create(null)`, in this realm or another. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The name of an object's class, for an error message. */
export function typeName(value: object): string {
  const maker: unknown = value.constructor
  return typeof maker === 'function' && maker.name !== '' ? maker.name : 'object'
}

function unmarkedKey(key: string): string {
  if (!key.startsWith(`${MARK}:`)) throw refusalOfPickled('key', key)
  return MARK + key.slice(MARK.length + 1)
}

function refusalOfPickled(what: 'key' | 'value', text: string): NotSerializable {
  const kind = /^\w+(?=:)/.exec(text.slice(MARK.length))?.[0] ?? 'unknown'
  return new NotSerializable(
    `The session contains a ${what} of the Python type ${kind}, which JSON cannot represent; it needs the PickleSerializer`,
  )
}

function refusal(type: string): NotSerializable {
  return new NotSerializable(
    `Object of type ${type} is not JSON serializable; ${INSTEAD.get(type) ?? 'store a plain object or array'} instead`,
  )
}

const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['Date', 'store its toISOString() or getTime()'],
  ['Map', 'store Object.fromEntries(map)'],
  ['Set', 'store an array of its members'],
  ['Buffer', "store its toString('base64')"],
  ['undefined', 'store null'],
])
