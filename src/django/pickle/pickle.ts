/** Session data as a Python pickle, the format of Django's PickleSerializer and of its caches. */
import { NotAnObject, NotSerializable, type SessionData } from '../json.ts'
import { PayloadTooLarge } from '../signing.ts'
import { UnpicklingError } from './errors.ts'
import { measure, PICKLE_LIMITS, type PickleLimits } from './measure.ts'
import { DictNode } from './nodes.ts'
import { keyOf, keyTextOf, nodeOf, textOf } from './notation.ts'
import { readPickle } from './reader.ts'
import { writePickle } from './writer.ts'

/**
 * Reads the dict in a pickle of any protocol. A value that JSON can represent exactly becomes JSON text. Any other value,
 * or key that is not a str, becomes text in the notation of `pickle/notation.ts`, and is written back unchanged. Only plain
 * data is read, nothing is imported or called, and the work is bounded.
 * The caller must first verify the signature of bytes that others than the site could have written.
 * @throws {PickleRefused} for anything other than plain data; the message names the class or function.
 * @throws {UnpicklingError} if Python would not load it, or it contains itself, or is nested too deeply.
 * @throws {NotAnObject} if it is not a dict.
 * @throws {PayloadTooLarge}
 */
export function parsePickledObject(bytes: Uint8Array, limits: Partial<PickleLimits> = {}): SessionData {
  const bounds = { ...PICKLE_LIMITS, ...limits }
  const root = readPickle(bytes, bounds)
  const isJson = measure(root, bounds)
  if (!(root instanceof DictNode))
    throw new NotAnObject('Session data must be a dict; this is another pickled value')
  const data = new Map<string, string>()
  for (const [key, value] of root.entries) data.set(keyTextOf(key), textOf(value, isJson(value)))
  return data
}

/**
 * Returns a pickle that Python loads to an equal dict. The inverse of `parsePickledObject`; also accepts the result of
 * `parseObject`.
 * @throws {NotSerializable} for a text that is neither JSON nor in our notation, or nested too deeply to be read again.
 * @throws {PayloadTooLarge} if `parsePickledObject` would reject it for its size.
 */
export function pickleObject(data: SessionData, limits: Partial<PickleLimits> = {}): Buffer {
  const bounds = { ...PICKLE_LIMITS, ...limits }
  const root = new DictNode()
  for (const [key, text] of data) root.set(keyOf(key, bounds), nodeOf(text, bounds))
  checkSize(root, bounds)
  const bytes = writePickle(root)
  if (bytes.length <= bounds.maxBytes) return bytes
  throw new PayloadTooLarge(`The session is larger than ${bounds.maxBytes} bytes; store less in it`)
}

function checkSize(root: DictNode, limits: PickleLimits): void {
  try {
    measure(root, limits)
  } catch (error) {
    if (!(error instanceof UnpicklingError)) throw error
    throw new NotSerializable(
      `The session is nested more than ${limits.maxNesting} levels deep; store a flatter value`,
      {
        cause: error,
      },
    )
  }
}
