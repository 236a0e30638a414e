import type { PickledValue } from '../django/pickle/javascript.ts'

/** The names of the policies. */
export const MERGE_POLICIES = ['last', 'add', 'union', 'fail'] as const

/**
 * What becomes of a key that this request set and that another request changed meanwhile.
 * `last`: the value of this request. `add`, for numbers: what this request added is added to the other value. `union`, for
 * lists without order: the additions and removals of both. `fail`: the save throws MergeConflict.
 *
 * A function returns the merged value. It gets the value before the change (undefined for none), the one of this request,
 * and the other one. Its result must depend on them alone. It is called only where both requests left a value.
 *
 * Objects merge member by member, and the policy is that of each member; only a function gets the whole object.
 */
export type MergePolicy =
  | (typeof MERGE_POLICIES)[number]
  | ((loaded: PickledValue | undefined, mine: PickledValue, theirs: PickledValue) => unknown)

/** The policies by key. `*` is the policy of each other key that does not begin with `_`; default: `last`. */
export type MergePolicies = Readonly<Record<string, MergePolicy>>

/**
 * Keys of Django that take no policy. Each is one value; a policy that makes another value of it ends a login or refuses a
 * form. Source: django/contrib/auth/__init__.py and views.py, sessions/backends/base.py, django/middleware/csrf.py.
 */
const DJANGO_KEYS: ReadonlySet<string> = new Set([
  '_auth_user_id',
  '_auth_user_backend',
  '_auth_user_hash',
  '_session_expiry',
  '_csrftoken',
  '_password_reset_token',
  'testcookie',
])

/** Returns what is wrong with the policy of a key, and what to do; null for a policy that can be used. */
export function mergePolicyProblem(key: string, policy: unknown): string | null {
  if (DJANGO_KEYS.has(key)) return 'is a key of Django, whose value cannot be merged; remove it'
  if (typeof policy === 'function' || MERGE_POLICIES.some((name) => name === policy)) return null
  return 'must be last, add, union or fail (in the library, also a function)'
}

/** Returns the policy of a key. */
export function policyOf(key: string, policies: MergePolicies): MergePolicy {
  if (DJANGO_KEYS.has(key)) return 'last'
  const own = Object.hasOwn(policies, key) ? policies[key] : undefined
  return own ?? (key.startsWith('_') ? 'last' : (policies['*'] ?? 'last'))
}
