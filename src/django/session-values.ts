import { MARK, NotSerializable, parseValue, stringifyValue } from './json.ts'
import { fromJavaScript, type PickledValue, toJavaScript } from './pickle/javascript.ts'
import { measure, PICKLE_LIMITS } from './pickle/measure.ts'
import { isHashable } from './pickle/nodes.ts'
import { keyTextOf, nodeOf, textOf } from './pickle/notation.ts'

/** How a session's values become the text in its SessionData, and back. */
export interface SessionValues {
  parse(text: string): PickledValue
  /** @throws {NotSerializable} for a value that the serializer cannot hold. */
  stringify(value: unknown): string
}

/** Of a session that is stored as JSON. */
export const jsonValues: SessionValues = { parse: parseValue, stringify: stringifyValue }

/** Of a session that is stored as a pickle, which holds more kinds of values: see `PickledValue`. */
export const pickledValues: SessionValues = {
  parse: (text) => (text.startsWith(MARK) ? toJavaScript(nodeOf(text)) : parseValue(text)),
  stringify(value) {
    const node = fromJavaScript(value)
    const isJson = measure(node, PICKLE_LIMITS)
    return textOf(node, isJson(node))
  },
}

/**
 * The name under which a session has what Python stored under a key that is no str: `session.get(pickledKey(1))`.
 * @throws {NotSerializable} for a value that Python cannot hash, or that we cannot pickle.
 */
export function pickledKey(key: unknown): string {
  const node = fromJavaScript(key)
  if (!isHashable(node)) throw new NotSerializable('The key is no value that Python can hash')
  return keyTextOf(node)
}
