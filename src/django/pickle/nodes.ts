/** What a pickle holds, before it becomes text or JavaScript: plain data whose every kind is told apart. */
import type { PythonDate, PythonDatetime, PythonTime, PythonTimedelta, PythonTimezone } from './datetimes.ts'
import type {
  PythonByteArray,
  PythonDecimal,
  PythonFloat,
  PythonStr,
  PythonTuple,
  PythonUuid,
  SafeString,
} from './values.ts'

/** `number` and `bigint` are Python's int, an array is a list, a Uint8Array bytes. */
export type Node =
  | null
  | boolean
  | number
  | bigint
  | string
  | Node[]
  | Leaf
  | PythonTuple<Node>
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
  hasStringKeysOnly = true
  // Made when it is needed: a pickle may hold a million empty ones.
  #places: Map<string, [Node, Node]> | null = null

  /** An equal key keeps its place. */
  set(key: Node, value: Node): void {
    const entry: [Node, Node] = [key, value]
    if (typeof key === 'string') {
      this.#places ??= new Map()
      const known = this.#places.get(key)
      if (known !== undefined) {
        known[1] = value
        return
      }
      this.#places.set(key, entry)
    } else this.hasStringKeysOnly = false
    this.entries.push(entry)
  }

  get(key: string): Node | undefined {
    return this.#places?.get(key)?.[1]
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
