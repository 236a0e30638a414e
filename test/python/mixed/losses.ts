/** One request of a history: what it read and what it wrote. */
export interface HistoryLine {
  readonly side: Side
  /** Each connection changes a shelf of its own, one request after the other. */
  readonly shelf: number
  readonly turn: number
  /** The turn whose item this request takes out of the cart: the latest acknowledged one of this shelf. */
  readonly before: number | null
  /** Whether it replaced `checkout`, too, whose policy is `fail`. */
  readonly replaces: boolean
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number
  readonly endedAt: number
  /** The session that was sent, and the one that the answer named. */
  readonly sent: string
  readonly kept: string | null
  /** Null: no answer came, so the change may have been applied. Another one than 200 is a refusal. */
  readonly status: number | null
  readonly read: {
    readonly visits: number
    readonly turn: number | null
    readonly checkout: string | null
  } | null
}

export type Side = 'django' | 'ours'

/** An acknowledged login or logout: requests that start later find no session under the old key. */
export interface End {
  readonly kind: 'login' | 'logout'
  readonly key: string
  /** After a login the key of the same session, after a logout that of a new one. */
  readonly newKey: string
  readonly endedAt: number
}

/** What a session holds after a history. */
export interface StoredVisits {
  readonly num_visits: number
  /** Null: no request changed it. */
  readonly cart: readonly string[] | null
  /** The turns of the shelves of each group. */
  readonly quantities: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** The visits of each group. */
  readonly tally: Readonly<Record<string, number>>
  readonly checkout: string | null
}

export interface LossesOptions {
  /** In the order in which they happened. */
  readonly ends?: readonly End[]
  /** All keys that have a row after the history. */
  readonly keys?: ReadonlySet<string>
  /** Whether a read sees what was acknowledged before it. Not with Django's `cached_db`, which may read a copy. */
  readonly readsAreFresh?: boolean
}

/** The group of this shelf. */
export function groupOf(shelf: number): string {
  return `group${shelf % 4}`
}

/**
 * What is wrong with a history. `stored` is the session that visitors shared last.
 *
 * - An acknowledged change that is not stored, or was applied twice; a change that was applied after a refusal. A change
 *   without an answer may be stored or not.
 * - A read that does not see what was acknowledged before it, in any session.
 * - Of two acknowledged requests that replaced the same `checkout`, one was not refused.
 * - A request under the old key that found a session, or its data, after a login or a logout; a row under the old key.
 */
export function lossesIn(
  history: readonly HistoryLine[],
  stored: StoredVisits,
  { ends = [], keys = new Set(), readsAreFresh = true }: LossesOptions = {},
): string[] {
  const sessions = sessionsOf(ends)
  const lines = Map.groupBy(history, ({ sent }) => sessions.get(sent) ?? 0)
  const last = lines.get(Math.max(0, ...sessions.values())) ?? []
  return [
    ...lossesOfCounts(last, stored),
    ...lossesOfCart(last, stored),
    ...lossesOfLeaves(last, stored),
    ...[...lines.values()].flatMap(conflictsIn),
    ...conflictsWith(stored, last),
    ...(readsAreFresh ? [...lines.values()].flatMap(staleReadsIn) : []),
    ...revivalsIn(history, ends),
    ...ends.filter(({ key }) => keys.has(key)).map(({ kind }) => `the session before a ${kind} is stored`),
  ]
}

/** The number of the session of each key: a logout begins another one. */
function sessionsOf(ends: readonly End[]): ReadonlyMap<string, number> {
  const sessions = new Map<string, number>()
  let session = 0
  for (const { kind, key, newKey } of ends) {
    sessions.set(key, session)
    if (kind === 'logout') session += 1
    sessions.set(newKey, session)
  }
  return sessions
}

function lossesOfCounts(lines: readonly HistoryLine[], { num_visits, tally }: StoredVisits): string[] {
  const counted = (name: string, among: readonly HistoryLine[], found: number): string[] => {
    const acknowledged = among.filter(isAcknowledged).length
    const unknown = among.filter(isUnknown).length
    if (found >= acknowledged && found <= acknowledged + unknown) return []
    return [`${acknowledged} ${name} were acknowledged, ${unknown} had no answer, ${found} are stored`]
  }
  const groups = Map.groupBy(lines, ({ shelf }) => groupOf(shelf))
  return [
    ...counted('visits', lines, num_visits - 1), // One began the session.
    ...[...groups].flatMap(([group, among]) => counted(`visits of ${group}`, among, tally[group] ?? 0)),
  ]
}

function lossesOfCart(lines: readonly HistoryLine[], { cart }: StoredVisits): string[] {
  if (cart === null) return []
  const losses = cart
    .filter((item, at) => cart.indexOf(item) !== at)
    .map((item) => `${item} is in the cart twice`)
  for (const [shelf, ordered] of shelvesOf(lines)) {
    const last = ordered.findLast(isAcknowledged)
    const mayBeGone = ordered.some((line) => isUnknown(line) && line.before === last?.turn)
    for (const line of ordered) {
      const item = `${shelf}-${line.turn}`
      const isThere = cart.includes(item)
      if (line === last && !isThere && !mayBeGone) losses.push(`${item} is not in the cart`)
      // A request that loaded an older copy did not find the item, and so did not take it out.
      const isMissed = ordered.some(
        ({ before, read }) => before === line.turn && read !== null && (read.turn ?? 0) < line.turn,
      )
      if (line !== last && isThere && !isUnknown(line) && !isMissed) losses.push(`${item} is in the cart`)
    }
  }
  return losses
}

function lossesOfLeaves(lines: readonly HistoryLine[], { quantities }: StoredVisits): string[] {
  return [...shelvesOf(lines)].flatMap(([shelf, ordered]) => {
    const possible = ordered.reduce(turnsAfter, [null])
    const found = quantities[groupOf(shelf)]?.[shelf] ?? null
    return possible.includes(found) ? [] : [`shelf ${shelf} holds ${found}, not ${possible.join(' or ')}`]
  })
}

/** The turns that a leaf may hold after this request: the last acknowledged one, and later ones without an answer. */
function turnsAfter(possible: readonly (number | null)[], line: HistoryLine): (number | null)[] {
  if (isAcknowledged(line)) return [line.turn]
  return isUnknown(line) ? [...possible, line.turn] : [...possible]
}

function conflictsIn(lines: readonly HistoryLine[]): string[] {
  const losses: string[] = []
  const replaced = new Set<string | null>()
  for (const line of lines.filter((each) => each.replaces && isAcknowledged(each))) {
    const checkout = line.read?.checkout ?? null
    if (replaced.has(checkout)) losses.push(`two requests replaced the checkout ${checkout}`)
    replaced.add(checkout)
  }
  const possible = checkoutsOf(lines)
  for (const { read, sent, kept } of lines) {
    const checkout = sent === kept ? (read?.checkout ?? null) : null
    if (!possible.has(checkout)) losses.push(`a request read the checkout ${checkout}, which was refused`)
  }
  return losses
}

function conflictsWith({ checkout }: StoredVisits, lines: readonly HistoryLine[]): string[] {
  const isReplaced = lines.some(
    (line) => line.replaces && isAcknowledged(line) && (line.read?.checkout ?? null) === checkout,
  )
  if (isReplaced) return [`the checkout is ${checkout}, which was replaced`]
  return checkoutsOf(lines).has(checkout) ? [] : [`the checkout is ${checkout}, which was refused`]
}

function checkoutsOf(lines: readonly HistoryLine[]): ReadonlySet<string | null> {
  const stored = lines.filter((line) => line.replaces && (isAcknowledged(line) || isUnknown(line)))
  return new Set([null, ...stored.map(({ shelf, turn }) => `${shelf}-${turn}`)])
}

function staleReadsIn(lines: readonly HistoryLine[]): string[] {
  const losses: string[] = []
  for (const [shelf, ordered] of shelvesOf(lines)) {
    let possible: (number | null)[] = [null]
    for (const line of ordered) {
      if (line.read !== null && isAcknowledged(line) && !possible.includes(line.read.turn))
        losses.push(
          `turn ${line.turn} of shelf ${shelf} read ${line.read.turn}, not ${possible.join(' or ')}`,
        )
      possible = turnsAfter(possible, line)
    }
  }
  const acknowledged = lines.filter(isAcknowledged)
  for (const { read, startedAt, shelf, turn } of acknowledged) {
    const earlier = acknowledged.filter(({ endedAt }) => endedAt < startedAt).length
    const visits = (read?.visits ?? 0) - 1
    if (visits < earlier) losses.push(`turn ${turn} of shelf ${shelf} read ${visits} visits, not ${earlier}`)
  }
  return losses
}

function revivalsIn(history: readonly HistoryLine[], ends: readonly End[]): string[] {
  return history.flatMap((line) => {
    const { shelf, turn, sent, kept, startedAt, read, status } = line
    const end = ends.find(({ key, endedAt }) => key === sent && endedAt < startedAt)
    const name = `turn ${turn} of shelf ${shelf}`
    if (end !== undefined && isAcknowledged(line)) return [`${name} was stored after a ${end.kind}`]
    const isNew = status === 200 && kept !== sent
    return isNew && read !== null && (read.visits !== 0 || read.turn !== null || read.checkout !== null)
      ? [`${name} began a session that holds data of another one`]
      : []
  })
}

function shelvesOf(lines: readonly HistoryLine[]): Map<number, HistoryLine[]> {
  const ordered = lines.toSorted((a, b) => a.turn - b.turn)
  return Map.groupBy(ordered, ({ shelf }) => shelf)
}

/** Whether the answer said that the change is stored in this session, not in one that began after its end. */
function isAcknowledged({ status, sent, kept }: HistoryLine): boolean {
  return status === 200 && kept === sent
}

function isUnknown({ status }: HistoryLine): boolean {
  return status === null
}
