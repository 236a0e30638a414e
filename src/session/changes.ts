import type { SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import type { SessionValues } from '../django/session-values.ts'
import type { Merge } from './merge.ts'

/**
 * One change that a request made to the data. Applied to what was loaded and, at a conflict, to what is stored then: with
 * `merge`, which says what becomes of a key that another request changed, too. Without it, the change of this request stands.
 */
export type Change = (data: Map<string, string>, merge?: Merge) => void

/** The data after the changes; `base` stays as it is. */
export function applied(base: SessionData, changes: readonly Change[], merge?: Merge): SessionData {
  const data = new Map(base)
  for (const change of changes) change(data, merge)
  return data
}

/** Sets `key` to the text `mine`, or removes it (undefined). `loaded` is the text that the session had before. */
export function assigned(key: string, loaded: string | undefined, mine: string | undefined): Change {
  return (data, merge) => {
    const text = merge === undefined ? mine : merge(key, { loaded, mine, theirs: data.get(key) })
    if (text === undefined) data.delete(key)
    else data.set(key, text)
  }
}

/** Sets `key` to a function of its old value; removes the key when the function returns undefined. */
export function computed(
  key: string,
  next: (stored: PickledValue | undefined) => unknown,
  values: SessionValues,
): Change {
  return (data) => {
    const stored = data.get(key)
    const value = next(stored === undefined ? undefined : values.parse(stored))
    if (value === undefined) data.delete(key)
    else data.set(key, values.stringify(value))
  }
}
