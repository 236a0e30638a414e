/** A value of settings.py as JSON holds it; `{"__python__": type}` for an object that JSON cannot hold. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue }

/** Whether it is a dictionary, or a Python object in the place of one. */
export function isRecord(value: PlainValue): value is { readonly [key: string]: PlainValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The dictionary; an empty one in the place of another value. */
export function recordOf(value: PlainValue): Readonly<Record<string, PlainValue>> {
  return isRecord(value) ? value : {}
}

/** Whether it stands for an object that JSON cannot hold. */
export function isPythonObject(value: PlainValue): value is { readonly __python__: string } {
  return typeof recordOf(value).__python__ === 'string'
}

/** The items of a list as texts; of anything else, none. */
export function listOf(value: PlainValue): string[] {
  return Array.isArray(value) ? value.map(String) : []
}
