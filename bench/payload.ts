import { randomBytes } from 'node:crypto'

/** Data like a shop's cart: a list of items with texts, and with numbers that compress badly. */
export function createPayload(bytes: number): unknown[] {
  const items: unknown[] = []
  for (let size = 0; size < bytes; size += JSON.stringify(items.at(-1)).length + 1) {
    items.push({
      title: `The book of number ${items.length}`,
      isbn: randomBytes(6).readUIntBE(0, 6).toString().padStart(13, '9').slice(0, 13),
      quantity: 1 + (items.length % 5),
      added: new Date(1_760_000_000_000 + items.length * 61_000).toISOString(),
      token: randomBytes(8).toString('hex'),
    })
  }
  return items
}
