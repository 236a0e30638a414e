/** What a pickle holds, before it becomes text or JavaScript: plain data whose every kind is told apart. */
import type { PythonDate, PythonDatetime, PythonTime, PythonTimedelta, PythonTimezone } from './datetimes.ts'
import type { PythonDecimal, PythonFloat, PythonStr, PythonUuid, SafeString } from './python-values.ts'
import { PythonByteArray } from './python-values.ts'

/** `number` and `bigint` are Python's int, an array is a list, a Uint8Array bytes. */
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
 * A dict, in the order in which its keys came. Equal keys that are strings are one, as in Python; those of other kinds
 * are not compared: a dict that Python pickled has no two equal ones.
 */
export class DictNode {
  readonly entries: [Node, Node][] = []
  hasStringKeysOnly: boolean = true
  // Made when it is worth it: a pickle may hold a million small dicts.
  #places: Map<string, [Node, Node]> | null = null

  /** An equal key keeps its place. */
  set(key: Node, value: Node): void {
    const known = typeof key === 'string' ? this.#find(key) : undefined
    if (known !== undefined) {
      known[1] = value
      return
    }
    const entry: [Node, Node] = [key, value]
    this.entries.push(entry)
    if (typeof key === 'string') this.#places?.set(key, entry)
    else this.hasStringKeysOnly = false
  }

  get(key: string): Node | undefined {
    return this.#find(key)?.[1]
  }

  #find(key: string): [Node, Node] | undefined {
    if (this.#places === null) {
      if (this.entries.length < SMALL) return this.entries.find(([known]) => known === key)
      this.#places = new Map()
      for (const entry of this.entries) if (typeof entry[0] === 'string') this.#places.set(entry[0], entry)
    }
    return this.#places.get(key)
  }
}

const SMALL = 8

export class TupleNode {
  readonly items: readonly Node[]
  /** Whether it can be a key, as all that it holds can. */
  readonly isHashable: boolean

  constructor(items: readonly Node[], isHashable: boolean) {
    this.items = items
    this.isHashable = isHashable
  }
}

export class SetNode {
  readonly items: Node[]
  readonly isFrozen: boolean

  constructor(items: Node[], isFrozen: boolean) {
    this.items = items
    this.isFrozen = isFrozen
  }
}

/** An int of more than 4300 digits, as LONG4 holds it: Python itself does not print it, and JSON cannot hold it. */
export class HugeInt {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** A UUID; Python makes it empty, and sets what it holds afterwards. */
export class UuidNode {
  uuid: PythonUuid | null

  constructor(uuid: PythonUuid | null) {
    this.uuid = uuid
  }
}

/** Whether Python can hash it, so that it can be a key of a dict or in a set. */
export function isHashable(node: object | Node): boolean {
  if (node instanceof TupleNode) return node.isHashable
  if (node instanceof SetNode) return node.isFrozen
  return !(Array.isArray(node) || node instanceof DictNode || node instanceof PythonByteArray)
}
