import { MARK } from '../django/json.ts'
import { measure, PICKLE_LIMITS } from '../django/pickle/measure.ts'
import { nodeOf, textOf } from '../django/pickle/notation.ts'
import type { SessionValues } from '../django/session-values.ts'
import { type MergePolicies, policyOf } from './merge-policies.ts'
import { isSame, merged, NOT_MERGED, nestsDeeper } from './merge-rules.ts'

/**
 * Returns the merged text of a key; undefined for no value. `loaded` is the text before this request changed it, `mine` the
 * text after that, and `theirs` what is stored now.
 * @throws {MergeConflict}
 */
export type Merge = (key: string, texts: ThreeTexts) => string | undefined

/** The text of a key in three states of a session; undefined where the session does not have the key. */
export interface ThreeTexts {
  readonly loaded: string | undefined
  readonly mine: string | undefined
  readonly theirs: string | undefined
}

/** Two requests changed a key whose policy is `fail`. Nothing of this request was saved; status 409. */
export class MergeConflict extends Error {
  override name = 'MergeConflict'
  readonly code: string = 'ERR_SESSION_MERGE_CONFLICT'
  readonly key: string

  constructor(key: string) {
    super('another request changed the same value of this session meanwhile; load the page again and repeat')
    this.key = key
  }
}

/**
 * Merges by these policies, as the session engine for Django does (python/merging_sessions/merge.py). Both run the vectors
 * of test/vectors/merge.json.
 */
export function createMerge(policies: MergePolicies, values: SessionValues): Merge {
  return (key, texts) => {
    const { loaded, mine, theirs } = texts
    if (theirs === loaded) return mine // no other request changed it
    const policy = policyOf(key, policies)
    // A value that was set to what it was before counts as set, which Django cannot see.
    if (policy === 'last' && !isObject(mine)) return mine
    const nodes = [loaded, mine, theirs].map((text) => (text === undefined ? undefined : nodeOf(text)))
    if (nodes.some((node) => nestsDeeper(node, DEEPEST))) return mine
    const [before, own, other] = nodes
    if (isSame(other, before)) return mine
    if (typeof policy === 'function') {
      if (isSame(own, before)) return theirs
      if (mine === undefined || theirs === undefined) return mine
      const value = policy(
        loaded === undefined ? undefined : values.parse(loaded),
        values.parse(mine),
        values.parse(theirs),
      )
      return value === undefined ? undefined : values.stringify(value)
    }
    const node = merged(before, own, other, policy)
    if (node === NOT_MERGED) throw new MergeConflict(key)
    if (node === own || node === undefined) return mine
    if (node === other) return theirs
    const isJson = [loaded, mine, theirs].every((text) => text?.startsWith(MARK) !== true)
    return textOf(node, isJson || measure(node, PICKLE_LIMITS)(node))
  }
}

/** A value that nests deeper is one value: to merge it would take more stack than there is. */
const DEEPEST = 400

function isObject(text: string | undefined): boolean {
  return text?.startsWith('{') === true || text?.startsWith(`${MARK}dict:`) === true
}
