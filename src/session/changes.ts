import type { SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import type { SessionValues } from '../django/session-values.ts'

/** One change that a request made to the data. Applied to what was loaded and, at a conflict, to what is stored then. */
export type Change = (data: Map<string, string>) => void

/** The data after the changes; `base` stays as it is. */
export function applied(base: SessionData, changes: readonly Change[]): SessionData {
  const data = new Map(base)
  for (const change of changes) change(data)
  return data
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

/** Removes `key`. */
export function removed(key: string): Change {
  return (data) => {
    data.delete(key)
  }
}
