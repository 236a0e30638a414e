/** Classes for the Python types that have no JavaScript counterpart, as values of a session. */

/** A float, even if the number is an integer: `new PythonFloat(1)` is stored as `1.0`. */
export class PythonFloat {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }

  valueOf(): number {
    return this.value
  }
}

/** Python's tuple. */
export class PythonTuple<T = unknown> implements Iterable<T> {
  readonly items: readonly T[]

  constructor(items: Iterable<T>) {
    this.items = [...items]
  }

  get length(): number {
    return this.items.length
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]()
  }
}

/** Python's frozenset; a Set is Python's set. */
export class PythonFrozenSet<T = unknown> extends Set<T> {}

/** Python's bytearray; a Uint8Array is Python's bytes. */
export class PythonByteArray extends Uint8Array {}

/** Python's Decimal; `text` is the output of `str`, e.g. `1.50`, `1E+2`, `NaN`. */
export class PythonDecimal {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** Whether Python's Decimal accepts this text in the form that `str` prints. Source: CPython's Lib/_pydecimal.py, _parser. */
export function isDecimal(text: string): boolean {
  return DECIMAL.test(text)
}

const DECIMAL = /^[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:E[-+]?\d+)?|Inf(?:inity)?|s?NaN\d*)$/i

/** Python's UUID, in lower case with its hyphens. */
export class PythonUuid {
  readonly text: string
  /** The value of `is_safe` if it is known (0, -1), as for `uuid.uuid1()`; otherwise null. */
  readonly isSafe: number | null

  constructor(text: string, isSafe: number | null = null) {
    this.text = text
    this.isSafe = isSafe
  }

  toString(): string {
    return this.text
  }
}

/** Text that Django does not escape in HTML: the result of `mark_safe`; its class was named SafeText before Django 3. */
export class SafeString {
  readonly text: string
  readonly className: 'SafeString' | 'SafeText'

  constructor(text: string, className: 'SafeString' | 'SafeText' = 'SafeString') {
    this.text = text
    this.className = className
  }

  toString(): string {
    return this.text
  }
}

/** A str that no JavaScript string can represent: two adjacent surrogates, which JavaScript would join to one character. */
export class PythonStr {
  /** UTF-8 as encoded with Python's error handler `surrogatepass`. */
  readonly utf8: Uint8Array

  constructor(utf8: Uint8Array) {
    this.utf8 = utf8
  }
}
