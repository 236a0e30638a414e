/** Session data as Python pickles it: what Django's PickleSerializer and its caches store. */
import { NotAnObject, NotSerializable, type SessionData } from '../json.ts'
import { PayloadTooLarge } from '../signing.ts'
import { UnpicklingError } from './errors.ts'
import { measure, PICKLE_LIMITS, type PickleLimits } from './measure.ts'
import { DictNode } from './nodes.ts'
import { keyOf, keyTextOf, nodeOf, textOf } from './notation.ts'
import { readPickle } from './reader.ts'
import { writePickle } from './writer.ts'

/**
 * The dict that a pickle of any protocol holds. Whatever JSON holds exactly is JSON text; any other value, or key that
 * is no str, has a text that no JSON begins with (`pickle/notation.ts`), and is written back as it was. Only plain data
 * is read, nothing is imported or called, and the work is bounded.
 * Bytes that anybody but the site could have written must be verified before.
 * @throws {PickleRefused} for anything but plain data, with the name of the class or function.
 * @throws {UnpicklingError} for what Python would not load, contains itself, or is nested too deeply.
 * @throws {NotAnObject} when it is no dict.
 * @throws {PayloadTooLarge}
 */
export function parsePickledObject(bytes: Uint8Array, limits: Partial<PickleLimits> = {}): SessionData {
  const bounds = { ...PICKLE_LIMITS, ...limits }
  const root = readPickle(bytes, bounds)
  const isJson = measure(root, bounds)
  if (!(root instanceof DictNode))
    throw new NotAnObject('Session data is a dict; this is another pickled value')
  const data = new Map<string, string>()
  for (const [key, value] of root.entries) data.set(keyTextOf(key), textOf(value, isJson(value)))
  return data
}

/**
 * A pickle that Python loads to an equal dict. The inverse of `parsePickledObject`; JSON's data is welcome, too.
 * @throws {NotSerializable} for a text that is neither JSON nor ours, or nested deeper than `parsePickledObject` reads.
 * @throws {PayloadTooLarge} when `parsePickledObject` would refuse it for its size.
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
    throw new NotSerializable(`The session is nested more than ${limits.maxNesting} levels deep`, {
      cause: error,
    })
  }
}
