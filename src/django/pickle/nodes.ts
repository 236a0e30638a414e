/** The content of a pickle before it becomes text or JavaScript: plain data, with every Python type kept distinct. */
import type { PythonDate, PythonDatetime, PythonTime, PythonTimedelta, PythonTimezone } from './datetimes.ts'
import type { PythonDecimal, PythonFloat, PythonStr, PythonUuid, SafeString } from './python-values.ts'
import { PythonByteArray } from './python-values.ts'

/** A Python value. `number` and `bigint` are int, an array is a list, a Uint8Array is bytes. */
export type Node =
  | null
  | boolean
  | number
  | bigint
  | string
  | Node[]
  | Leaf
  | TupleNode
  | DictNode
  | SetNode
  | UuidNode
  | HugeInt

type Leaf =
  | PythonFloat
  | PythonStr
  | SafeString
  | Uint8Array
  | PythonByteArray
  | PythonDecimal
  | PythonDate
  | PythonDatetime
  | PythonTime
  | PythonTimedelta
  | PythonTimezone

/**
 * A dict, in insertion order. Equal string keys are one key, as in Python. Keys of other types are not compared, because a
 * dict that Python pickled never has equal ones.
 */
export class DictNode {
  readonly entries: [Node, Node][]
  hasStringKeysOnly: boolean = true
  // Created only for larger dicts, because a pickle may contain a million small ones.
  #entryOfKey: Map<string, [Node, Node]> | null = null

  constructor(entries: [Node, Node][] = []) {
    this.entries = entries
  }

  static of(members: ReadonlyMap<string, Node>): DictNode {
    return new DictNode([...members])
  }

  /** Sets a value; an existing key keeps its position. */
  set(key: Node, value: Node): void {
    const known = typeof key === 'string' ? this.#find(key) : undefined
    if (known !== undefined) {
      known[1] = value
      return
    }
    const entry: [Node, Node] = [key, value]
    this.entries.push(entry)
    if (typeof key === 'string') this.#entryOfKey?.set(key, entry)
    else this.hasStringKeysOnly = false
  }

  get(key: string): Node | undefined {
    return this.#find(key)?.[1]
  }

  #find(key: string): [Node, Node] | undefined {
    if (this.#entryOfKey === null) {
      if (this.entries.length < MAX_LINEAR_SEARCH) return this.#findAmongFew(key)
      this.#entryOfKey = new Map()
      for (const entry of this.entries)
        if (typeof entry[0] === 'string') this.#entryOfKey.set(entry[0], entry)
    }
    return this.#entryOfKey.get(key)
  }

  #findAmongFew(key: string): [Node, Node] | undefined {
    for (const entry of this.entries) if (entry[0] === key) return entry
    return undefined
  }
}

const MAX_LINEAR_SEARCH = 8

/** A tuple. */
export class TupleNode {
  readonly items: readonly Node[]
  /** Whether it can be a key, because all its items can. */
  readonly isHashable: boolean

  constructor(items: readonly Node[], isHashable: boolean) {
    this.items = items
    this.isHashable = isHashable
  }
}

/** A set or frozenset. */
export class SetNode {
  readonly items: Node[]
  readonly isFrozen: boolean

  constructor(items: Node[], isFrozen: boolean) {
    this.items = items
    this.isFrozen = isFrozen
  }
}

/** An int with more than 4300 digits, as the bytes of LONG4: Python does not print it, so JSON cannot represent it. */
export class HugeInt {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** A UUID. Null until BUILD sets its value: Python creates the object empty. */
export class UuidNode {
  uuid: PythonUuid | null

  constructor(uuid: PythonUuid | null) {
    this.uuid = uuid
  }
}

/** Whether Python can hash a value, so that it can be a key of a dict or a member of a set. */
export function isHashable(node: object | Node): boolean {
  if (node instanceof TupleNode) return node.isHashable
  if (node instanceof SetNode) return node.isFrozen
  return !(Array.isArray(node) || node instanceof DictNode || node instanceof PythonByteArray)
}
