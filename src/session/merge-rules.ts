/**
 * How two changes of one value merge: both began with `before`, this request made `own` of it, and others made `other`;
 * undefined stands for no value. The same rules in Python: python/merging_sessions/merge.py.
 */
import { quote } from '../django/json.ts'
import { DictNode, type Node, SetNode, TupleNode } from '../django/pickle/nodes.ts'
import { textOf } from '../django/pickle/notation.ts'
import { PythonFloat } from '../django/pickle/python-values.ts'
import { isPrintable } from '../django/pickle/scalars.ts'

/** The result of `merged` where the policy `fail` does not let it merge. */
export const NOT_MERGED: unique symbol = Symbol('not merged')

type Rule = 'last' | 'add' | 'union' | 'fail'

/** Returns the merged value: `own` or `other` itself where only one of them counts. */
export function merged(
  before: Node | undefined,
  own: Node | undefined,
  other: Node | undefined,
  rule: Rule,
): Node | undefined | typeof NOT_MERGED {
  // Objects first, without a comparison: to compare them at each level would take quadratic time.
  if (isObject(own) && isObject(other) && isObject(before)) return mergedMembers(before, own, other, rule)
  if (isSame(own, before)) return other
  if (isSame(other, before)) return own
  if (isObject(own) && isObject(other)) return mergedMembers(new DictNode(), own, other, rule)
  if (rule === 'fail') return isSame(own, other) ? own : NOT_MERGED
  if (own === undefined || rule === 'last') return own
  return rule === 'add' ? added(before, own, other) : united(before, own, other)
}

/** Whether a value has more than so many levels of lists and objects. */
export function nestsDeeper(node: Node | undefined, levels: number): boolean {
  const inside = Array.isArray(node) ? node : isObject(node) ? node.entries.map(([, value]) => value) : null
  return inside !== null && (levels === 0 || inside.some((value) => nestsDeeper(value, levels - 1)))
}

/** In the order of `other`; new members follow. */
function mergedMembers(
  before: DictNode,
  own: DictNode,
  other: DictNode,
  rule: Rule,
): DictNode | typeof NOT_MERGED {
  const members = new DictNode()
  const keys = new Set([...other.entries, ...own.entries].map(([key]) => String(key)))
  for (const key of keys) {
    const member = merged(before.get(key), own.get(key), other.get(key), rule)
    if (member === NOT_MERGED) return NOT_MERGED
    if (member !== undefined) members.set(key, member)
  }
  return members
}

/**
 * Whether Python's `json` writes both alike, but for the order of keys: 1, 1.0 and true differ, and NaN is itself.
 * Source: python/merging_sessions/merge.py, same.
 */
export function isSame(a: Node | undefined, b: Node | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, at) => isSame(item, b[at]))
  if (isObject(a) && isObject(b))
    return (
      a.entries.length === b.entries.length &&
      a.entries.every(([key, value]) => isSame(value, b.get(String(key))))
    )
  return identity(a) === identity(b)
}

/** What this request added, on top of the other value; a missing number counts as 0. Other values than numbers: own. */
function added(before: Node = 0, own: Node, other: Node = 0): Node {
  const [first, mine, theirs] = [numberOf(before), numberOf(own), numberOf(other)]
  if (first === null || mine === null || theirs === null) return own
  const total = plus(theirs, minus(mine, first))
  if (total === null) return own
  if (typeof total === 'number') return new PythonFloat(total)
  if (!isPrintable(total)) return own
  return Number.isSafeInteger(Number(total)) ? Number(total) : total
}

/** An int as a bigint, a float as a number; null for what does not count: other types, and an int that Python cannot print. */
function numberOf(node: Node): bigint | number | null {
  if (node instanceof PythonFloat) return node.value
  return typeof node === 'number' || typeof node === 'bigint' ? BigInt(node) : null
}

function minus(a: bigint | number, b: bigint | number): bigint | number | null {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a - b
  const [x, y] = [floatOf(a), floatOf(b)]
  return x === null || y === null ? null : x - y
}

function plus(a: bigint | number, b: bigint | number | null): bigint | number | null {
  if (b === null) return null
  if (typeof a === 'bigint' && typeof b === 'bigint') return a + b
  const [x, y] = [floatOf(a), floatOf(b)]
  return x === null || y === null ? null : x + y
}

/** Null where Python raises OverflowError: for an int that no float can hold. */
function floatOf(number: bigint | number): number | null {
  const float = Number(number)
  return typeof number === 'bigint' && !Number.isFinite(float) ? null : float
}

/**
 * The additions and removals of both; a missing list counts as empty. What both added is added once, and what both removed
 * is removed once; a list may hold an item more than once. Other values than lists: own.
 */
function united(before: Node = [], own: Node, other: Node = []): Node {
  if (!(Array.isArray(before) && Array.isArray(own) && Array.isArray(other))) return own
  const [initial, mine, theirs] = [before, own, other].map((items) => items.map(identity))
  const [first, here, there] = [countsOf(initial), countsOf(mine), countsOf(theirs)]
  const count = (counts: ReadonlyMap<string, number>, item: string) => counts.get(item) ?? 0
  /** How many of this item `to` has more than `from`. */
  const more = (item: string, from: ReadonlyMap<string, number>, to: ReadonlyMap<string, number>) =>
    Math.max(0, count(to, item) - count(from, item))
  const toRemove = new Map<string, number>()
  const toAdd = new Map<string, number>()
  for (const item of new Set([...first.keys(), ...here.keys()])) {
    toRemove.set(item, more(item, here, first) - more(item, there, first))
    toAdd.set(item, more(item, first, here) - more(item, first, there))
  }
  const kept = other.filter((_, at) => {
    const item = theirs?.[at] ?? ''
    const left = count(toRemove, item)
    toRemove.set(item, left - 1)
    return left <= 0
  })
  const isNew = own.filter((_, at) => {
    const item = mine?.[at] ?? ''
    const following = count(here, item) - 1
    here.set(item, following)
    return following < count(toAdd, item) // only the last ones are new
  })
  return [...kept, ...isNew]
}

function countsOf(items: readonly string[] = []): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

/** A text that two values share if they are the same. */
function identity(node: Node): string {
  if (Array.isArray(node)) return `[${node.map(identity).join(',')}]`
  if (isObject(node))
    return `{${sorted(node.entries.map(([key, value]) => `${quote(String(key))}:${identity(value)}`))}}`
  if (node instanceof TupleNode) return `(${node.items.map(identity).join(',')})`
  if (node instanceof SetNode)
    return `${node.isFrozen ? 'frozenset' : 'set'}{${sorted(node.items.map(identity))}}`
  return textOf(node, node === null || typeof node !== 'object' || node instanceof PythonFloat)
}

function sorted(texts: string[]): string {
  return texts.sort((a, b) => (a < b ? -1 : 1)).join(',')
}

/** Whether it is an object of JSON. A pickle may also have dictionaries with other keys. */
function isObject(node: Node | undefined): node is DictNode {
  return node instanceof DictNode && node.hasStringKeysOnly
}
