import { isPlain, NotSerializable, typeName } from '../json.ts'
import { PythonDate, PythonTime, PythonTimedelta, PythonTimezone } from './datetimes.ts'
import { DictNode, HugeInt, isHashable, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import {
  isDecimal,
  PythonDecimal,
  PythonFloat,
  PythonFrozenSet,
  PythonStr,
  PythonTuple,
  PythonUuid,
  SafeString,
} from './python-values.ts'
import { bigintOf, isPrintable, longOf } from './scalars.ts'

/**
 * A Python value in JavaScript. A dict whose keys are all strings is a plain object, any other dict a Map; a set is a Set;
 * bytes are a Uint8Array. Types without a JavaScript counterpart have their own classes (`pickle/python-values.ts`,
 * `pickle/datetimes.ts`). Integers beyond ±(2^53 - 1) are bigint; all other numbers, including floats, are number.
 */
export type PickledValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickledValue[]
  | { [key: string]: PickledValue }
  | Map<PickledValue, PickledValue>
  | Set<PickledValue>
  | PythonTuple<PickledValue>
  | PythonUuid
  | Exclude<Extract<Node, object>, Node[] | TupleNode | DictNode | SetNode | UuidNode | HugeInt | PythonFloat>

/** Largest nesting that is pickled: Python up to 3.11 can pickle about 490 levels again, 3.12 about 600. */
const MAX_PICKLED_NESTING = 400

/** Converts a pickled value to JavaScript. */
export function toJavaScript(node: Node): PickledValue {
  if (node === null || typeof node !== 'object') return node
  if (Array.isArray(node)) return node.map(toJavaScript)
  if (node instanceof DictNode) return node.hasStringKeysOnly ? objectOf(node) : mapOf(node)
  if (node instanceof TupleNode) return new PythonTuple(node.items.map(toJavaScript))
  if (node instanceof SetNode) {
    const items = node.items.map(toJavaScript)
    return node.isFrozen ? new PythonFrozenSet(items) : new Set(items)
  }
  if (node instanceof PythonFloat) return node.value
  if (node instanceof HugeInt) return bigintOf(node.bytes)
  if (node instanceof UuidNode) return node.uuid ?? null // never null here: `measure` rejects an incomplete UUID
  return node
}

/**
 * The inverse of `toJavaScript`. A safe integer (except -0) becomes an int, any other number a float. Of a plain object, the
 * own enumerable string keys are used; undefined properties are omitted.
 * @throws {NotSerializable} for a value that is neither plain data nor an instance of a class that `toJavaScript` returns.
 */
export function fromJavaScript(value: unknown, parents: object[] = []): Node {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : new PythonFloat(value)
    case 'bigint':
      if (!isPrintable(value)) return new HugeInt(longOf(value))
      return Number.isSafeInteger(Number(value)) ? Number(value) : value
    case 'object':
      return value === null ? null : nodeOfObject(value, parents)
    default:
      throw refusal(typeof value)
  }
}

function nodeOfObject(value: object, parents: object[]): Node {
  if (isLeaf(value)) return value
  if (value instanceof PythonUuid) {
    if (!UUID.test(value.text))
      throw new NotSerializable('The text of a PythonUuid is not a UUID; write 8-4-4-4-12 hexadecimal digits')
    return new UuidNode(value)
  }
  if (value instanceof PythonDecimal) {
    if (!isDecimal(value.text))
      throw new NotSerializable(
        'The text of a PythonDecimal is not a number; write it as str(Decimal) does, e.g. 1.50',
      )
    return value
  }
  if (parents.includes(value)) throw new NotSerializable('Circular reference detected; store a tree')
  if (parents.length >= MAX_PICKLED_NESTING) {
    throw new NotSerializable(
      `Nesting of more than ${MAX_PICKLED_NESTING} levels makes the session impossible to write for Django; store a flatter value`,
    )
  }
  parents.push(value)
  const node = nodeOfContainer(value, parents)
  parents.pop()
  return node
}

function nodeOfContainer(value: object, parents: object[]): Node {
  const each = (items: Iterable<unknown>) => Array.from(items, (item) => fromJavaScript(item, parents))
  const hashable = (node: Node): Node => {
    if (isHashable(node)) return node
    throw new NotSerializable(
      'Python cannot hash a key of this Map or a member of this Set; use strings, numbers or tuples',
    )
  }
  if (Array.isArray(value)) return each(value)
  if (value instanceof PythonTuple) {
    const items = each(value.items)
    return new TupleNode(items, items.every(isHashable))
  }
  if (value instanceof Set) return new SetNode(each(value).map(hashable), value instanceof PythonFrozenSet)
  const dict = new DictNode()
  if (value instanceof Map) {
    for (const [key, member] of value) {
      dict.set(hashable(fromJavaScript(key, parents)), fromJavaScript(member, parents))
    }
    return dict
  }
  if (!isPlain(value)) throw refusal(typeName(value))
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) dict.set(key, fromJavaScript(member, parents))
  }
  return dict
}

function objectOf(dict: DictNode): { [key: string]: PickledValue } {
  const object: { [key: string]: PickledValue } = {}
  for (const [key, member] of dict.entries) {
    const value = toJavaScript(member)
    if (key !== '__proto__') object[String(key)] = value
    else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return object
}

function mapOf(dict: DictNode): Map<PickledValue, PickledValue> {
  return new Map(dict.entries.map(([key, member]) => [toJavaScript(key), toJavaScript(member)]))
}

const LEAVES = [
  PythonFloat,
  PythonStr,
  SafeString,
  Uint8Array,
  PythonDate,
  PythonTime,
  PythonTimedelta,
  PythonTimezone,
]
type LeafObject = InstanceType<(typeof LEAVES)[number]>

function isLeaf(value: object): value is LeafObject {
  return LEAVES.some((type) => value instanceof type)
}

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

function refusal(type: string): NotSerializable {
  return new NotSerializable(
    `Object of type ${type} cannot be pickled here; ${INSTEAD.get(type) ?? 'store a plain object, array, Map or Set'} instead`,
  )
}

const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['Date', 'store PythonDatetime.fromDate(date)'],
  ['undefined', 'store null'],
])
