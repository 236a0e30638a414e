import type { Answer, Entry, Kind, Operation } from './history.ts'
import { pick, type Random } from './random.ts'

/** What requests are sent to. `send` never rejects: what is not known is `unknown`. */
export interface Target {
  send(operation: Operation): Promise<Answer>
}

export interface GeneratorOptions {
  /** Chooses a target for this operation. */
  readonly target: (operation: Operation) => Target
  /** How many requests are sent. */
  readonly operations: number
  /** How many are under way at once. */
  readonly clients: number
  /** How many sessions live at once; fewer than clients, so that clients meet. */
  readonly sessions: number
  /** The kinds that are not sent. */
  readonly without?: readonly Kind[]
  readonly random: Random
  readonly record: (entry: Entry) => void
  /** Called after a request that was not answered. */
  readonly pause: () => Promise<unknown>
}

/** How often each kind is sent to a live session, in percent. */
const MIX: readonly (readonly [Kind, number])[] = [
  ['change', 62],
  ['read', 32],
  ['cycle', 3],
  ['logout', 2],
  ['expire', 1],
]

/** A request to a key that is no longer current, in percent of all. */
const STALE = 4
/** Keys that stale requests choose from. */
const MOST_STALE = 50
/** Changes that are sent to a session at most, which bounds the size of answers. */
const LONGEST = 80

interface Live {
  readonly session: string
  key: string
  changes: number
}

/**
 * Sends requests from several clients at once, and records them. Each client sends one request after another. After an
 * `unknown` answer it is replaced by a new client, because its request may still be executed: so the changes of one client
 * are stored in the order of their numbers. Returns all keys that were given.
 */
export async function generate({
  target,
  operations,
  clients,
  sessions,
  without = [],
  random,
  record,
  pause,
}: GeneratorOptions): Promise<{ session: string; key: string }[]> {
  const slots = Array.from({ length: sessions }, (): Live | null => null)
  const given: { session: string; key: string }[] = []
  const stale: Live[] = []
  let sent = 0
  let named = 0

  async function send(operation: Operation): Promise<Answer> {
    record({ invoke: operation })
    const answer = await target(operation).send(operation)
    record({ end: operation.id, ...answer })
    return answer
  }

  async function client(): Promise<void> {
    let name = `c${named++}`
    let number = 0
    while (sent < operations) {
      const slot = Math.floor(random() * slots.length)
      const isStale = stale.length > 0 && random() * 100 < STALE
      const live = isStale ? pick(random, stale) : (slots[slot] ?? null)
      const id = sent++
      const kind = live === null ? 'create' : live.changes >= LONGEST ? 'logout' : pickKind(random, without)
      const session = live?.session ?? `s${id}`
      const key = live?.key ?? null
      const isChange = kind === 'create' || kind === 'change'
      if (isChange) number += 1
      if (live !== null && kind === 'change') live.changes += 1
      const answer = await send({ id, kind, client: name, session, key, ...(isChange && { number }) })
      if (answer.key !== undefined) given.push({ session, key: answer.key })
      if (!isStale) follow(slot, live, session, kind, answer)
      if (answer.outcome === 'unknown') {
        name = `c${named++}`
        number = 0
        await pause()
      }
    }
  }

  function follow(slot: number, live: Live | null, session: string, kind: Kind, answer: Answer): void {
    if (
      live !== null &&
      (answer.outcome === 'gone' || kind === 'logout' || kind === 'expire' || answer.key)
    ) {
      stale.push({ ...live })
      if (stale.length > MOST_STALE) stale.shift()
    }
    if (answer.key !== undefined) slots[slot] = { session, key: answer.key, changes: live?.changes ?? 1 }
    else if (
      answer.outcome === 'gone' ||
      ((kind === 'logout' || kind === 'expire') && answer.outcome === 'ok')
    )
      if (slots[slot] === live) slots[slot] = null
  }

  await Promise.all(Array.from({ length: clients }, client))
  return given
}

function pickKind(random: Random, without: readonly Kind[]): Kind {
  let left = random() * 100
  for (const [kind, share] of MIX) {
    left -= share
    if (left < 0 && !without.includes(kind)) return kind
  }
  return 'read'
}
