/**
 * The notation of pickled values in SessionData. A value that JSON can represent exactly is JSON text. Any other is `MARK`,
 * with which no JSON text begins, the name of its type, and the base64url of its pickle. A key that is not a str is written
 * in the same way.
 */
import { build, INTEGER, MARK, NotSerializable, parseScalar, pythonFloat, quote } from '../json.ts'
import { PythonDate, PythonDatetime, PythonTime, PythonTimedelta, PythonTimezone } from './datetimes.ts'
import { PickleRefused, UnpicklingError } from './errors.ts'
import { measure, PICKLE_LIMITS, type PickleLimits } from './measure.ts'
import { DictNode, HugeInt, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { PythonByteArray, PythonDecimal, PythonFloat, PythonStr, SafeString } from './python-values.ts'
import { readPickle } from './reader.ts'
import { writePickle } from './writer.ts'

/** Returns the text of a value. `isJson`, from `measure`: whether JSON can represent it exactly. */
export function textOf(node: Node, isJson: boolean): string {
  return isJson ? jsonOf(node) : `${MARK}${kindOf(node)}:${writePickle(node).toString('base64url')}`
}

/** The inverse of `textOf`. @throws {NotSerializable} for a text that `textOf` did not write. */
export function nodeOf(text: string, limits: PickleLimits = PICKLE_LIMITS): Node {
  return text.startsWith(MARK) ? unmarked(text, limits) : fromJson(text)
}

/** Returns the text of a dict's key. A str is unchanged, unless it begins with `MARK`. */
export function keyTextOf(key: Node): string {
  if (typeof key !== 'string') return textOf(key, false)
  return key.startsWith(MARK) ? `${MARK}:${key.slice(MARK.length)}` : key
}

/** The inverse of `keyTextOf`. @throws {NotSerializable} for a text that `keyTextOf` did not write. */
export function keyOf(text: string, limits: PickleLimits = PICKLE_LIMITS): Node {
  if (!text.startsWith(MARK)) return text
  return text.startsWith(`${MARK}:`) ? MARK + text.slice(MARK.length + 1) : unmarked(text, limits)
}

function unmarked(text: string, limits: PickleLimits): Node {
  try {
    const node = readPickle(Buffer.from(text.slice(text.indexOf(':', MARK.length) + 1), 'base64url'), limits)
    measure(node, limits)
    return node
  } catch (error) {
    if (!(error instanceof PickleRefused || error instanceof UnpicklingError)) throw error
    throw new NotSerializable(
      'A key or value begins with the prefix of pickled values, but is not one; store another text',
      {
        cause: error,
      },
    )
  }
}

function fromJson(text: string): Node {
  return build<Node>(text, {
    scalar(scalar) {
      const value = parseScalar(scalar)
      return typeof value === 'number' && !INTEGER.test(scalar) ? new PythonFloat(value) : value
    },
    array: (items) => items,
    object: (members) => DictNode.of(members),
  })
}

function jsonOf(node: Node): string {
  if (typeof node === 'string') return quote(node)
  if (Array.isArray(node)) {
    let items = ''
    for (const item of node) items += items === '' ? jsonOf(item) : `,${jsonOf(item)}`
    return `[${items}]`
  }
  if (node instanceof PythonFloat) return pythonFloat(node.value)
  if (!(node instanceof DictNode)) return String(node)
  let members = ''
  for (const [key, value] of node.entries)
    members += `${members === '' ? '' : ','}${quote(String(key))}:${jsonOf(value)}`
  return `{${members}}`
}

/** The name of the Python type, for error messages. */
function kindOf(node: Node): string {
  if (node === null) return 'None'
  if (typeof node === 'boolean') return 'bool'
  if (typeof node === 'number' || typeof node === 'bigint' || node instanceof HugeInt) return 'int'
  if (typeof node === 'string' || node instanceof PythonStr) return 'str'
  if (Array.isArray(node)) return 'list'
  if (node instanceof DictNode) return 'dict'
  if (node instanceof SetNode) return node.isFrozen ? 'frozenset' : 'set'
  if (node instanceof UuidNode) return 'UUID'
  if (node instanceof TupleNode) return 'tuple'
  if (node instanceof PythonByteArray) return 'bytearray'
  if (node instanceof Uint8Array) return 'bytes'
  return OTHER_KINDS.find(([type]) => node instanceof type)?.[1] ?? 'unknown'
}

const OTHER_KINDS = [
  [PythonFloat, 'float'],
  [PythonDatetime, 'datetime'], // before date, its base class
  [PythonDate, 'date'],
  [PythonTime, 'time'],
  [PythonTimedelta, 'timedelta'],
  [PythonTimezone, 'tzinfo'],
  [PythonDecimal, 'Decimal'],
  [SafeString, 'SafeString'],
] as const
