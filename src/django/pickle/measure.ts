import { PayloadTooLarge } from '../signing.ts'
import { PythonTimezone } from './datetimes.ts'
import { PickleRefused, UnpicklingError } from './errors.ts'
import { Global } from './globals.ts'
import { DictNode, HugeInt, type Node, SetNode, TupleNode, UuidNode } from './nodes.ts'
import { PythonDecimal, PythonFloat, PythonStr, SafeString } from './python-values.ts'

/** How much a reader may be asked to build. */
export interface PickleLimits {
  /** Bytes: of the pickle, and of what it holds once everything that it repeats is written out. */
  readonly maxBytes: number
  /** How many containers may be open inside the outermost one. */
  readonly maxNesting: number
  /** Lists, dicts and the like; what the pickle remembers to repeat it may be four times as many. */
  readonly maxObjects: number
}

/**
 * 16 MiB, a quarter of a million objects, and deeper than any Python up to 3.12 can pickle (600 levels; 3.13 gets to 3000). Python
 * itself knows no limit.
 */
export const PICKLE_LIMITS: PickleLimits = { maxBytes: 16 * 1024 ** 2, maxNesting: 1000, maxObjects: 2 ** 18 }

/**
 * Looks at everything once, however often it is shared, before anything is written out; gives for each part whether
 * JSON holds it exactly.
 * @throws {UnpicklingError} for what contains itself, or is nested too deeply.
 * @throws {PayloadTooLarge} when it would be larger than `maxBytes`, written out.
 * @throws {PickleRefused} for a class or function that stands for a value.
 */
export function measure(root: Node, { maxBytes, maxNesting }: PickleLimits): (node: Node) => boolean {
  const measures = new Map<object, Measure | null>()
  let work = 0

  function look(node: Node, level: number): Measure {
    if (!isContainer(node)) {
      const found = measureLeaf(node)
      work += found.weight
      if (work > maxBytes) throw tooLarge() // each is a part of what is written out
      return found
    }
    const known = measures.get(node)
    if (known === null) throw new UnpicklingError('The pickle holds something that contains itself')
    if (known !== undefined) return known
    if (level > maxNesting) throw tooDeep()
    measures.set(node, null)
    let weight = 2
    let inside = 0
    let isJson = Array.isArray(node) || (node instanceof DictNode && node.hasStringKeysOnly)
    for (const child of childrenOf(node)) {
      const found = look(child, level + 1)
      weight += found.weight
      inside = Math.max(inside, found.depth)
      isJson &&= found.isJson
    }
    if (inside > maxNesting) throw tooDeep()
    const found = { isJson, weight, depth: inside + 1 }
    measures.set(node, found)
    return found
  }

  function tooLarge(): PayloadTooLarge {
    return new PayloadTooLarge(
      `The pickle holds more than ${maxBytes} bytes, once what it repeats is written out`,
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
  /** Bytes of a pickle that shares nothing but names: lists that share lists grow beyond all measure. */
  readonly weight: number
  /** How many containers are open in its deepest place. */
  readonly depth: number
}

type Container = Node[] | TupleNode | SetNode | DictNode

function isContainer(node: Node): node is Container {
  return (
    Array.isArray(node) || node instanceof DictNode || node instanceof TupleNode || node instanceof SetNode
  )
}

function childrenOf(container: Container): Iterable<Node> {
  if (container instanceof DictNode) return membersOf(container)
  return Array.isArray(container) ? container : container.items
}

function* membersOf(dict: DictNode): Generator<Node> {
  for (const member of dict.entries) yield* member
}

function measureLeaf(node: Exclude<Node, Container> | Global): Measure {
  if (typeof node === 'string') return leaf(node.length + 2)
  if (typeof node === 'number') return leaf(Math.abs(node) < 256 ? 2 : 5)
  if (typeof node === 'bigint') return leaf(node.toString(16).length / 2) // of 4300 digits at most
  if (typeof node !== 'object' || node === null) return leaf(1)
  if (node instanceof Global) throw new PickleRefused(node.name)
  if (node instanceof PythonFloat) return leaf(9)
  if (node instanceof Uint8Array) return leaf(node.length + 2, false)
  if (node instanceof PythonStr) return leaf(node.utf8.length + 2, false)
  if (node instanceof HugeInt) return leaf(node.bytes.length + 5, false)
  if (node instanceof PythonDecimal || node instanceof SafeString) return leaf(node.text.length + 6, false)
  if (node instanceof UuidNode && node.uuid === null)
    throw new PickleRefused('a uuid.UUID without its number')
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
