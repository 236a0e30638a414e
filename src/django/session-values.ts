import { MARK, NotSerializable, parseValue, stringifyValue } from './json.ts'
import { fromJavaScript, type PickledValue, toJavaScript } from './pickle/javascript.ts'
import { measure, PICKLE_LIMITS } from './pickle/measure.ts'
import { isHashable } from './pickle/nodes.ts'
import { keyTextOf, nodeOf, textOf } from './pickle/notation.ts'
import type { SerializerName } from './session-serializers.ts'

/** Converts the values of a session to the text in its SessionData and back. */
export interface SessionValues {
  parse(text: string): PickledValue
  /** @throws {NotSerializable} for a value that the serializer does not support. */
  stringify(value: unknown): string
}

/** For a session that is stored as JSON. */
export const jsonValues: SessionValues = { parse: parseValue, stringify: stringifyValue }

/** For a session that is stored as a pickle, which supports more types of values: see `PickledValue`. */
export const pickledValues: SessionValues = {
  parse: (text) => (text.startsWith(MARK) ? toJavaScript(nodeOf(text)) : parseValue(text)),
  stringify(value) {
    const node = fromJavaScript(value)
    const isJson = measure(node, PICKLE_LIMITS)
    return textOf(node, isJson(node))
  },
}

/** The values of a session that is stored in this form. */
export function sessionValues(serializer: SerializerName): SessionValues {
  return serializer === 'pickle' ? pickledValues : jsonValues
}

/**
 * Returns the name that a session uses for a Python key that is not a str: `session.get(pickledKey(1))`.
 * @throws {NotSerializable} for a value that Python cannot hash, or that cannot be pickled here.
 */
export function pickledKey(key: unknown): string {
  const node = fromJavaScript(key)
  if (!isHashable(node))
    throw new NotSerializable('Python cannot hash this key; use a string, a number or a tuple of them')
  return keyTextOf(node)
}
