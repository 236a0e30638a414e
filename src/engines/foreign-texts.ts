import type { SessionCodec } from '../django/session-data.ts'

/** How many of the newest own texts are remembered. An older one counts as foreign, which is only a run of the doctor too early. */
const MOST_OWN = 1000

/**
 * Calls `onForeign` once, for the first text that is read and that this process has not written: another program shares the
 * sessions, or did so before the start. From then on nothing is remembered.
 */
export function watchForeignTexts(codec: SessionCodec, onForeign: () => void): SessionCodec {
  let own: Set<string> | null = new Set()
  return {
    encode(data) {
      const text = codec.encode(data)
      if (own === null) return text
      own.add(markOf(text))
      const [oldest] = own
      if (own.size > MOST_OWN && oldest !== undefined) own.delete(oldest)
      return text
    },
    decode(sessionData) {
      if (own?.has(markOf(sessionData)) === false) {
        own = null
        onForeign()
      }
      return codec.decode(sessionData)
    },
  }
}

/** The signature: at the end since Django 3.1, before that at the beginning. */
function markOf(text: string): string {
  return text.slice(0, 56) + text.slice(-43)
}
