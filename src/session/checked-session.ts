import type { SessionValues } from '../django/session-values.ts'
import type { AnySession, Session } from './session.ts'
import type { SchemaInput, SchemaIssue, SchemaOutput, StandardSchema } from './standard-schema.ts'

/**
 * What becomes of values that do not fit the schema. `throw`: `load` throws. `drop`: `values` is what the schema makes of
 * the session without their keys. `keep`: they are in `values` as they are stored. The stored session never changes.
 */
export type MisfitPolicy = 'throw' | 'drop' | 'keep'

/** A key whose value does not fit the schema. */
export interface Misfit {
  /** Null for what the schema says of the session as a whole. */
  readonly key: string | null
  readonly issues: readonly SchemaIssue[]
}

/** A session, and what a schema made of it when it was loaded. */
export interface CheckedSession<S extends StandardSchema, Policy extends MisfitPolicy> {
  /** To write. The same object as without a schema, so that it also has what does not fit. */
  readonly session: Session<Required<SchemaInput<S> & object>>
  /** What the schema returned. A copy: changes in it are not saved. */
  readonly values: CheckedValues<SchemaOutput<S>, Policy>
  readonly misfits: readonly Misfit[]
}

/** With `keep` each value may be of any type. */
export type CheckedValues<Output, Policy extends MisfitPolicy> = Policy extends 'keep'
  ? { readonly [K in keyof Output]?: unknown }
  : Output

/** The stored session does not fit the schema; another program, or an older version of this one, has written it. */
export class SessionMisfit extends Error {
  override name = 'SessionMisfit'
  readonly code: string = 'ERR_SESSION_MISFIT'
  readonly #misfits: readonly Misfit[]

  constructor(message: string, misfits: readonly Misfit[]) {
    super(message)
    this.#misfits = misfits
  }

  /** By key. No own property, because a log would show it, and the messages of some schemas quote values. */
  get misfits(): readonly Misfit[] {
    return this.#misfits
  }
}

/** Checks the session's data by the schema. @throws {SessionMisfit} {TypeError} */
export async function checkSession<S extends StandardSchema, Policy extends MisfitPolicy>(
  session: AnySession,
  schema: S,
  { policy, texts }: { policy: Policy; texts: SessionValues },
): Promise<CheckedSession<S, Policy>> {
  checkArguments(schema, policy)
  const ask = async (data: Data) => schema['~standard'].validate(data)
  const checked = (values: unknown, misfits: readonly Misfit[]) =>
    ({ session, values, misfits }) as unknown as CheckedSession<S, Policy>

  const stored = dataOf(session, texts)
  const found = new Map<string | null, readonly SchemaIssue[]>()
  const dropped = new Set<string>()
  let result = await ask(copyOf(stored, texts))
  while (result.issues !== undefined) {
    const issues = byKey(result.issues)
    for (const [key, ofKey] of issues) if (!found.has(key)) found.set(key, ofKey)
    const misfits = [...found].map(([key, ofKey]) => ({ key, issues: ofKey }))
    if (policy === 'throw')
      throw new SessionMisfit(`the session does not fit the schema${at(misfits)}`, misfits)
    const more = [...issues.keys()].filter((key) => key !== null && stored.has(key) && !dropped.has(key))
    if (more.length === 0) {
      if (policy === 'keep') return checked(copyOf(stored, texts), misfits)
      const isWhole = [...issues.keys()].every((key) => key === null)
      const advice = isWhole
        ? 'the schema names no key that could be left out'
        : 'make them optional, or give them a default: a new session has no key'
      throw new SessionMisfit(
        `the schema does not accept the session without the keys that do not fit${at(misfits)}; ${advice}`,
        misfits,
      )
    }
    for (const key of more) dropped.add(String(key))
    result = await ask(copyOf(stored, texts, (key) => !dropped.has(key)))
  }
  const kept = () => copyOf(stored, texts, (key) => dropped.has(key))
  const values = policy === 'keep' ? { ...(result.value as object), ...kept() } : result.value
  return checked(
    values,
    [...found].map(([key, issues]) => ({ key, issues })),
  )
}

type Data = Readonly<Record<string, unknown>>

/** The session's data as it would be saved now. A copy, because a schema may change what it is given. */
function dataOf(session: AnySession, texts: SessionValues): ReadonlyMap<string, string> {
  return new Map(session.items().map(([key, value]) => [key, texts.stringify(value)]))
}

function copyOf(
  data: ReadonlyMap<string, string>,
  texts: SessionValues,
  includes: (key: string) => boolean = () => true,
): Data {
  const entries = [...data].filter(([key]) => includes(key))
  return Object.fromEntries(entries.map(([key, text]) => [key, texts.parse(text)]))
}

function byKey(issues: readonly SchemaIssue[]): Map<string | null, SchemaIssue[]> {
  const found = new Map<string | null, SchemaIssue[]>()
  for (const issue of issues)
    for (const key of keysOf(issue)) found.set(key, [...(found.get(key) ?? []), issue])
  return found
}

/** The keys of the session that an issue is about; null: the session as a whole. */
function keysOf(issue: SchemaIssue): readonly (string | null)[] {
  const first = issue.path?.[0]
  if (first !== undefined) return [String(typeof first === 'object' ? first.key : first)]
  // What zod says of unknown keys: its issue has a list of them, and no path (zod/v4/core/errors.ts, unrecognized_keys).
  if ('keys' in issue && Array.isArray(issue.keys) && issue.keys.length > 0) return issue.keys.map(String)
  return [null]
}

/** The keys, without the schema's messages: those may quote a value. */
function at(misfits: readonly Misfit[]): string {
  const names = misfits.map(({ key }) => (key === null ? 'as a whole' : JSON.stringify(key)))
  return `: ${names.slice(0, 20).join(', ')}`
}

function checkArguments(schema: unknown, policy: unknown): void {
  const standard: unknown = Object(schema)['~standard']
  if (typeof Object(standard).validate !== 'function')
    throw new TypeError(
      'session.load: the schema does not follow Standard Schema; pass a schema of zod (3.24 or newer), valibot, arktype or the like',
    )
  if (policy !== 'throw' && policy !== 'drop' && policy !== 'keep')
    throw new TypeError("session.load: misfits must be 'throw', 'drop' or 'keep'")
}
