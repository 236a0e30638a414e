import { PayloadTooLarge } from '../signing.ts'
import { PythonTimezone } from './datetimes.ts'
import { PickleRefused, UnpicklingError } from './errors.ts'
import { Global } from './globals.ts'
import { DictNode, HugeInt, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { PythonDecimal, PythonFloat, PythonStr, SafeString } from './python-values.ts'

/** Limits on the work of reading a pickle. */
export interface PickleLimits {
  /** Bytes: of the pickle, and of its content after every shared part is written out. */
  readonly maxBytes: number
  /** Nesting: containers inside the outermost one. */
  readonly maxNesting: number
  /** Number of containers (lists, dicts, …); the memo for shared parts may have four times as many entries. */
  readonly maxObjects: number
}

/**
 * The defaults: 16 MiB, 262,144 objects, and deeper than any Python up to 3.12 can pickle (600 levels; 3.13 about 3000).
 * Python itself has no limits.
 */
export const PICKLE_LIMITS: PickleLimits = { maxBytes: 16 * 1024 ** 2, maxNesting: 1000, maxObjects: 2 ** 18 }

/**
 * Checks a value before it is written out. Visits each part once, however often it is shared. Returns a function that tells
 * whether JSON can represent a part exactly.
 * @throws {UnpicklingError} if a part contains itself, or is nested too deeply.
 * @throws {PayloadTooLarge} if the value, written out, would be larger than `maxBytes`.
 * @throws {PickleRefused} for a class or function used as a value.
 */
export function measure(root: Node, { maxBytes, maxNesting }: PickleLimits): (node: Node) => boolean {
  const measures = new Map<object, Measure | null>()
  let work = 0

  function look(node: Node, level: number): Measure {
    if (!isContainer(node)) {
      const found = measureLeaf(node)
      work += found.weight
      if (work > maxBytes) throw tooLarge() // each part is written out at least once
      return found
    }
    const known = measures.get(node)
    if (known === null) throw new UnpicklingError('The pickle contains an object that contains itself')
    if (known !== undefined) return known
    if (level > maxNesting) throw tooDeep()
    measures.set(node, null)
    const found = { isJson: true, weight: 2, depth: 0 }
    if (node instanceof DictNode) {
      found.isJson = node.hasStringKeysOnly
      for (const [key, value] of node.entries) {
        add(key, level + 1, found)
        add(value, level + 1, found)
      }
    } else if (Array.isArray(node)) {
      for (const child of node) add(child, level + 1, found)
    } else {
      found.isJson = false
      for (const child of node.items) add(child, level + 1, found)
    }
    if (found.depth > maxNesting) throw tooDeep()
    found.depth += 1
    measures.set(node, found)
    return found
  }

  /** Adds a child to what was found of its container. */
  function add(child: Node, level: number, found: Mutable<Measure>): void {
    if (typeof child === 'string') {
      // As below, without an object for each string.
      work += child.length + 2
      if (work > maxBytes) throw tooLarge()
      found.weight += child.length + 2
      return
    }
    const { weight, depth, isJson } = look(child, level)
    found.weight += weight
    if (depth > found.depth) found.depth = depth
    if (!isJson) found.isJson = false
  }

  function tooLarge(): PayloadTooLarge {
    return new PayloadTooLarge(
      `The pickle has more than ${maxBytes} bytes after its shared parts are written out`,
    )
  }
  function tooDeep(): UnpicklingError {
    return new UnpicklingError(`The pickle is nested more than ${maxNesting} levels deep`)
  }

  if (look(root, 0).weight > maxBytes) throw tooLarge()
  return (node) => (isContainer(node) ? measures.get(node)?.isJson === true : measureLeaf(node).isJson)
}

interface Measure {
  readonly isJson: boolean
  /** Size in bytes of a pickle without shared parts: nested sharing makes it grow exponentially. */
  readonly weight: number
  /** Nesting of containers. */
  readonly depth: number
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

type Container = Node[] | TupleNode | SetNode | DictNode

function isContainer(node: Node): node is Container {
  return (
    Array.isArray(node) || node instanceof DictNode || node instanceof TupleNode || node instanceof SetNode
  )
}

function measureLeaf(node: Exclude<Node, Container> | Global): Measure {
  if (typeof node === 'string') return leaf(node.length + 2)
  if (typeof node === 'number') return leaf(Math.abs(node) < 256 ? 2 : 5)
  if (typeof node === 'bigint') return leaf(node.toString(16).length / 2) // at most 4300 digits
  if (typeof node !== 'object' || node === null) return leaf(1)
  if (node instanceof Global) throw new PickleRefused(node.name)
  if (node instanceof PythonFloat) return leaf(9)
  if (node instanceof Uint8Array) return leaf(node.length + 2, false)
  if (node instanceof PythonStr) return leaf(node.utf8.length + 2, false)
  if (node instanceof HugeInt) return leaf(node.bytes.length + 5, false)
  if (node instanceof PythonDecimal || node instanceof SafeString) return leaf(node.text.length + 6, false)
  if (node instanceof UuidNode && node.uuid === null) throw new PickleRefused('a uuid.UUID without a value')
  if (node instanceof PythonTimezone) return leaf(zoneWeight(node), false)
  const zone = 'timezone' in node && node.timezone !== null ? zoneWeight(node.timezone) : 0
  return leaf(16 + zone, false)
}

function zoneWeight({ source }: PythonTimezone): number {
  if (source.kind === 'pytz._UTC') return 5
  const names = [
    'zone' in source ? source.zone : '',
    'local' in source ? source.local?.name : '',
    'name' in source ? source.name : '',
  ]
  return 20 + names.join('').length
}

function leaf(weight: number, isJson = true): Measure {
  return { weight, isJson, depth: 0 }
}
