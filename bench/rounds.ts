/**
 * The orders of the rounds, at random. None is measured twice in a row, which saves a lone request up to a tenth of its CPU, and none
 * always after the same other one.
 */
export function randomOrders<One>(all: readonly One[]): () => readonly One[] {
  let last: One | undefined
  return () => {
    const order = all
      .map((one) => ({ one, place: Math.random() }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ one }) => one)
    if (order[0] === last) order.reverse()
    last = order.at(-1)
    return order
  }
}
