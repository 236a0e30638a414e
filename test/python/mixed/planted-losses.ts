import { createRandom, type Random } from '../../histories/random.ts'
import { type End, groupOf, type HistoryLine, type StoredVisits } from './losses.ts'

/** The steps of a request to a site in memory; a planted fault replaces some of them. */
interface Steps {
  /** The session under this key; null when there is none. */
  load(key: string): StoredVisits | null
  /** Stores the change of a request, which loaded this. Returns the status of the answer. */
  save(key: string, loaded: StoredVisits, line: Change): number
  /** The session after one more change. */
  apply(stored: StoredVisits, line: Change): StoredVisits
  /** The session that begins at a request without one. */
  begin(): StoredVisits
  /** A login, which loaded this. */
  move(key: string, loaded: StoredVisits, newKey: string): void
  /** A logout. */
  remove(key: string): void
}

type Change = Pick<HistoryLine, 'shelf' | 'turn' | 'before' | 'replaces'>

/** Returns the steps that are wrong. Each is wrong now and then only. */
type Plant = (right: Steps, rows: Map<string, StoredVisits>, random: Random) => Partial<Steps>

const NEW: StoredVisits = { num_visits: 0, cart: null, quantities: {}, tally: {}, checkout: null }
const CONNECTIONS = 8
const sometimes = (random: Random): boolean => random() < 0.05

/** The history of a site in memory that is right, but for the planted fault; with a login, a logout, and another login. */
export async function simulate(
  seed: number,
  { requests, plant = () => ({}) }: { requests: number; plant?: Plant },
): Promise<{ history: HistoryLine[]; stored: StoredVisits; ends: End[]; keys: ReadonlySet<string> }> {
  const random = createRandom(seed)
  const rows = new Map<string, StoredVisits>()
  const right: Steps = {
    load: (key) => rows.get(key) ?? null,
    save(key, loaded, line) {
      const stored = rows.get(key)
      if (stored === undefined) return 400
      if (line.replaces && stored.checkout !== loaded.checkout) return 409
      rows.set(key, steps.apply(stored, line))
      return 200
    },
    apply,
    begin: () => NEW,
    move(key, _loaded, newKey) {
      rows.set(newKey, rows.get(key) ?? NEW)
      rows.delete(key)
    },
    remove: (key) => void rows.delete(key),
  }
  const steps: Steps = { ...right, ...plant(right, rows, random) }
  const history: HistoryLine[] = []
  const ends: End[] = []
  let [now, keys, sent] = [0, 0, 0]
  const newKey = () => `key${keys++}`
  const begin = (first: StoredVisits) => {
    const key = newKey()
    rows.set(key, { ...first, num_visits: first.num_visits + 1 })
    return key
  }
  let current = begin(NEW)
  const pause = async () => {
    for (let left = Math.floor(random() * 6); left > 0; left -= 1) await null
  }

  async function answer(key: string, line: Change): Promise<Pick<HistoryLine, 'status' | 'kept' | 'read'>> {
    const [lost, loaded] = [random() * 100, steps.load(key)]
    await pause()
    const found = loaded ?? steps.begin()
    const leaf = found.quantities[groupOf(line.shelf)]?.[line.shelf] ?? null
    const read = { visits: found.num_visits, turn: leaf, checkout: found.checkout }
    if (lost < 1) return { status: null, kept: null, read: null }
    const status = loaded === null ? 200 : steps.save(key, loaded, line)
    const kept = loaded === null ? begin(found) : key
    await pause()
    if (lost < 2) return { status: null, kept: null, read: null }
    return status === 200 ? { status, kept, read } : { status, kept: null, read: null }
  }

  async function connection(shelf: number): Promise<void> {
    let before: number | null = null
    for (let turn = 1; sent < requests; turn += 1) {
      sent += 1
      const isStale = random() < 0.1
      const key = (isStale ? ends.at(-1)?.key : undefined) ?? current
      const line = { shelf, turn, before, replaces: shelf === 0 || shelf === 4 }
      const startedAt = now++
      const answered = await answer(key, line)
      if (answered.kept === key) before = turn
      history.push({ ...line, ...answered, side: 'ours', sent: key, startedAt, endedAt: now++ })
    }
  }

  async function end(kind: End['kind'], after: number): Promise<void> {
    while (sent < after) await null
    const key = current
    const loaded = steps.load(key) ?? NEW
    await pause()
    const next = kind === 'login' ? newKey() : begin(NEW)
    if (kind === 'login') steps.move(key, loaded, next)
    else steps.remove(key)
    ends.push({ kind, key, newKey: next, endedAt: now++ })
    current = next
  }

  async function endThrice(): Promise<void> {
    await end('login', requests * 0.2)
    await end('logout', requests * 0.4)
    await end('login', requests * 0.7)
  }
  await Promise.all([endThrice(), ...Array.from({ length: CONNECTIONS }, (_, shelf) => connection(shelf))])
  return { history, stored: rows.get(current) ?? NEW, ends, keys: new Set(rows.keys()) }
}

function apply(stored: StoredVisits, { shelf, turn, before, replaces }: Change): StoredVisits {
  const [group, item] = [groupOf(shelf), `${shelf}-${turn}`]
  const { num_visits, cart, quantities, tally, checkout } = stored
  return {
    num_visits: num_visits + 1,
    cart: [...(cart ?? []).filter((each) => each !== `${shelf}-${before}`), item],
    quantities: { ...quantities, [group]: { ...quantities[group], [shelf]: turn } },
    tally: { ...tally, [group]: (tally[group] ?? 0) + 1 },
    checkout: replaces ? item : checkout,
  }
}

/** An `apply` whose result is wrong now and then. */
function misapplied(
  wrong: (after: StoredVisits, before: StoredVisits, line: Change) => Partial<StoredVisits>,
  part = 0.05,
): Plant {
  return (right, _rows, random) => ({
    apply(stored, line) {
      const after = right.apply(stored, line)
      return random() < part ? { ...after, ...wrong(after, stored, line) } : after
    },
  })
}

/** Faults of a site, which `lossesIn` must find, and what it says of each. */
export const PLANTED = {
  'a save overwrites what was saved since its load': {
    plant: (right, rows, random) => ({
      save(key, loaded, line) {
        if (!rows.has(key) || !sometimes(random)) return right.save(key, loaded, line)
        rows.set(key, right.apply(loaded, line))
        return 200
      },
    }),
    says: /visits were acknowledged/,
  },
  'a change is acknowledged and not stored': {
    plant: (right, _, random) => ({
      save: (key, loaded, line) => (sometimes(random) ? 200 : right.save(key, loaded, line)),
    }),
    says: /visits were acknowledged/,
  },
  'a retry counts a visit twice': {
    plant: misapplied(({ num_visits }) => ({ num_visits: num_visits + 1 })),
    says: /^\d+ visits were acknowledged/,
  },
  'a retry adds to a member twice': {
    plant: misapplied(({ tally }, _, { shelf }) => ({
      tally: { ...tally, [groupOf(shelf)]: (tally[groupOf(shelf)] ?? 0) + 1 },
    })),
    says: /visits of group\d were acknowledged/,
  },
  'a save loses what was added to a member': {
    plant: misapplied((_, { tally }) => ({ tally })),
    says: /visits of group\d were acknowledged/,
  },
  'a retry puts an item into the cart twice': {
    // The next visit takes both out, so many visits have to do it.
    plant: misapplied(
      ({ cart }, _, { shelf, turn }) => ({ cart: [...(cart ?? []), `${shelf}-${turn}`] }),
      0.8,
    ),
    says: /is in the cart twice/,
  },
  'an item that was taken out stays in the cart': {
    plant: misapplied(({ cart }, before) => ({
      cart: [...new Set([...(before.cart ?? []), ...(cart ?? [])])],
    })),
    says: /is in the cart$/,
  },
  'an item is lost from the cart': {
    plant: misapplied((_, { cart }) => ({ cart })),
    says: /is not in the cart|is in the cart$/,
  },
  'a save replaces the leaves of the others': {
    plant: misapplied(({ quantities }, _, { shelf, turn }) => ({
      quantities: { ...quantities, [groupOf(shelf)]: { [shelf]: turn } },
    })),
    says: /shelf \d (holds|read) null/,
  },
  'a save restores an older leaf of its own': {
    plant: misapplied((_, { quantities }) => ({ quantities })),
    says: /^shelf \d holds|read .*, not/,
  },
  'a read is answered from an older copy': {
    plant: (right, _, random) => {
      const copies = new Map<string, StoredVisits | null>()
      return {
        load(key) {
          const copy = copies.get(key)
          const stored = right.load(key)
          if (copy !== undefined && stored !== null && sometimes(random)) return copy
          if (copy === undefined || random() < 0.2) copies.set(key, stored)
          return stored
        },
      }
    },
    says: /^turn \d+ of shelf \d read/,
  },
  'a change is refused and stored': {
    plant: (right, _, random) => ({
      save(key, loaded, line) {
        const status = right.save(key, loaded, line)
        return sometimes(random) ? 400 : status
      },
    }),
    says: /visits were acknowledged/,
  },
  'a conflict is refused and stored': {
    plant: (right, rows) => ({
      save(key, loaded, line) {
        const status = right.save(key, loaded, line)
        const stored = rows.get(key)
        if (status === 409 && stored !== undefined) rows.set(key, right.apply(stored, line))
        return status
      },
    }),
    says: /the checkout .*, which was refused/,
  },
  'two requests replace the same checkout': {
    plant: (right, rows) => ({
      save(key, loaded, line) {
        const stored = rows.get(key)
        return right.save(key, stored === undefined ? loaded : { ...loaded, checkout: stored.checkout }, line)
      },
    }),
    says: /^two requests replaced the checkout/,
  },
  'a request that was under way restores a session after a logout': {
    plant: (right, rows) => ({
      save(key, loaded, line) {
        if (!rows.has(key)) rows.set(key, loaded)
        return right.save(key, loaded, line)
      },
    }),
    says: /is stored/,
  },
  'a logout is acknowledged and not executed': {
    plant: () => ({ remove: () => {} }),
    says: /was stored after a logout/,
  },
  'the old key stays after a login': {
    plant: (_, rows) => ({ move: (key, loaded, newKey) => void rows.set(newKey, rows.get(key) ?? loaded) }),
    says: /was stored after a login/,
  },
  'a login loses what was saved since its load': {
    plant: (_, rows) => ({
      move(key, loaded, newKey) {
        rows.delete(key)
        rows.set(newKey, loaded)
      },
    }),
    says: /visits were acknowledged|is in the cart$|visits, not/,
  },
  'a login begins an empty session': {
    plant: (right, rows) => ({
      move(key, loaded, newKey) {
        right.move(key, loaded, newKey)
        rows.set(newKey, { ...NEW, num_visits: 1 })
      },
    }),
    says: /visits were acknowledged/,
  },
  'a new session holds data of an old one': {
    plant: (_right, rows) => ({ begin: () => [...rows.values()][0] ?? NEW }),
    says: /holds data of another one/,
  },
} satisfies Readonly<Record<string, { readonly plant: Plant; readonly says: RegExp }>>
