import type { HistoryLine } from './load.ts'

/** What a session holds after a history. */
export interface StoredVisits {
  readonly num_visits: number
  /** Null: no request changed it. */
  readonly cart: readonly string[] | null
  readonly quantities: Readonly<Record<string, number>>
}

/**
 * What is wrong with a history: an acknowledged change that is not stored, a change that was applied twice or after a refusal,
 * and a read that does not see the earlier writes of its connection. A change without an answer may be stored or not.
 */
export function lossesIn(history: readonly HistoryLine[], stored: StoredVisits): string[] {
  const acknowledged = history.filter(isAcknowledged).length
  const unknown = history.filter(isUnknown).length
  const visits = stored.num_visits - 1 // One began the session.
  const counted =
    visits < acknowledged || visits > acknowledged + unknown
      ? [`${acknowledged} visits were acknowledged, ${unknown} had no answer, ${visits} are stored`]
      : []
  const shelves = Map.groupBy(history, ({ shelf }) => shelf)
  const twice = stored.cart?.filter((item, at, cart) => cart.indexOf(item) !== at) ?? []
  return [
    ...counted,
    ...twice.map((item) => `${item} is in the cart twice`),
    ...[...shelves].flatMap(([shelf, lines]) => lossesOfShelf(shelf, lines, stored)),
  ]
}

function lossesOfShelf(shelf: number, lines: readonly HistoryLine[], stored: StoredVisits): string[] {
  const ordered = lines.toSorted((a, b) => a.turn - b.turn)
  const losses: string[] = []
  /** The turns whose value the dictionary may hold: the last acknowledged one, and later ones without an answer. */
  let possible: (number | null)[] = [null]
  for (const line of ordered) {
    if (line.read !== null && line.kept === line.sent && !possible.includes(line.read.turn))
      losses.push(`turn ${line.turn} of shelf ${shelf} read ${line.read.turn}, not ${possible.join(' or ')}`)
    if (isAcknowledged(line)) possible = [line.turn]
    if (isUnknown(line)) possible = [...possible, line.turn]
  }
  const found = stored.quantities[shelf] ?? null
  if (!possible.includes(found)) losses.push(`shelf ${shelf} holds ${found}, not ${possible.join(' or ')}`)

  if (stored.cart === null) return losses
  const last = ordered.findLast(isAcknowledged)
  const mayBeGone = ordered.some((line) => isUnknown(line) && line.before === last?.turn)
  for (const line of ordered) {
    const item = `${shelf}-${line.turn}`
    const isThere = stored.cart.includes(item)
    if (line === last && !isThere && !mayBeGone) losses.push(`${item} is not in the cart`)
    if (line !== last && isThere && !isUnknown(line)) losses.push(`${item} is in the cart`)
  }
  return losses
}

/** Whether the answer said that the change is stored in this session, not in one that began after its deletion. */
function isAcknowledged({ status, sent, kept }: HistoryLine): boolean {
  return status === 200 && kept === sent
}

function isUnknown({ status }: HistoryLine): boolean {
  return status === null
}
