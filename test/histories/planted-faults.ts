import { NOTHING } from './history.ts'
import { pick, type Random } from './random.ts'
import type { Row, Steps } from './reference-store.ts'

/** Returns the steps that are wrong. Each is wrong now and then only. */
type Plant = (right: Steps, rows: Map<string, Row>, random: Random) => Partial<Steps>

const sometimes = (random: Random): boolean => random() < 0.05
/** For requests that are rare. */
const often = (random: Random): boolean => random() < 0.5

/** Faults of a store, which the model must find. */
export const PLANTED: Readonly<Record<string, Plant>> = {
  'a save overwrites what another request saved': (_, rows) => ({
    swap(key, _row, next) {
      if (!rows.has(key)) return false
      rows.set(key, next)
      return true
    },
  }),
  'a retry applies a change twice': (right, _, random) => ({
    apply(row, operation) {
      const once = right.apply(row, operation)
      return sometimes(random) ? right.apply(once, operation) : once
    },
  }),
  'a retry counts a change twice': (right, _, random) => ({
    apply(row, operation) {
      const { contents, isExpired } = right.apply(row, operation)
      return { isExpired, contents: { ...contents, count: contents.count + (sometimes(random) ? 1 : 0) } }
    },
  }),
  'a read is answered from an older copy': (right, _, random) => {
    const copies = new Map<string, Row>()
    return {
      load(key, operation) {
        const copy = copies.get(key)
        const row = right.load(key, operation)
        if (operation.kind === 'read' && row !== null && copy !== undefined && sometimes(random)) return copy
        if (row !== null) copies.set(key, row)
        return row
      },
    }
  },
  'a request that was under way restores a deleted session': (_, rows) => ({
    swap(key, row, next) {
      if (rows.has(key) && rows.get(key) !== row) return false
      rows.set(key, next)
      return true
    },
  }),
  'the old key stays after a cycle': (_, rows, random) => ({
    move(key, row, newKey) {
      if (rows.get(key) !== row) return false
      if (!often(random)) rows.delete(key)
      rows.set(newKey, row)
      return true
    },
  }),
  'a change loses the nested key of another client': (right, _, random) => ({
    apply(row, operation) {
      const { contents, isExpired } = right.apply(row, operation)
      const { client, number = 0 } = operation
      return {
        isExpired,
        contents: sometimes(random) ? { ...contents, cart: { [client]: number } } : contents,
      }
    },
  }),
  'a change writes an older value to the key of another client': (right, _, random) => ({
    apply(row, operation) {
      const { contents, isExpired } = right.apply(row, operation)
      const other = pick(random, Object.keys(contents.last))
      const last = { ...contents.last, [other]: (contents.last[other] ?? 0) - 1 }
      return { isExpired, contents: sometimes(random) ? { ...contents, last } : contents }
    },
  }),
  'a request gets the session of another key': (right, rows, random) => ({
    load(key, operation) {
      const [other] = [...rows.values()].slice(-1)
      return operation.kind === 'read' && sometimes(random) && other ? other : right.load(key, operation)
    },
  }),
  'a change is stored in the session of another key': (right, rows, random) => ({
    swap(key, row, next, operation) {
      const other = pick(random, [...rows.keys()])
      const stored = rows.get(other)
      if (operation.kind !== 'change' || !sometimes(random) || stored === undefined)
        return right.swap(key, row, next, operation)
      rows.set(other, right.apply(stored, operation))
      return true
    },
  }),
  'a row is half written': (right, _, random) => ({
    apply(row, operation) {
      const { contents, isExpired } = right.apply(row, operation)
      return { isExpired, contents: sometimes(random) ? { ...contents, log: row.contents.log } : contents }
    },
  }),
  'a change revives an expired session': (right) => ({
    load(key, operation) {
      const row = right.load(key, operation)
      return operation.kind === 'change' && row?.isExpired ? { ...row, isExpired: false } : row
    },
    swap: (key, row, next, operation) => {
      const stored = right.load(key, operation)
      const isSame = stored?.contents === row.contents
      return right.swap(key, isSame && stored !== null ? stored : row, next, operation)
    },
  }),
  'a clock that went back revives an expired session': (right, _, random) => ({
    load(key, operation) {
      const row = right.load(key, operation)
      return row?.isExpired && often(random) ? { ...row, isExpired: false } : row
    },
  }),
  'a change is acknowledged and not stored': (right, _, random) => ({
    swap: (key, row, next, operation) =>
      (operation.kind === 'change' && sometimes(random)) || right.swap(key, row, next, operation),
  }),
  'a change is acknowledged and stored later': (right, rows, random) => ({
    swap(key, row, next, operation) {
      if (operation.kind !== 'change' || !sometimes(random)) return right.swap(key, row, next, operation)
      queueMicrotask(async () => {
        for (let turns = 0; turns < 50; turns += 1) await null
        const stored = rows.get(key)
        if (stored !== undefined) rows.set(key, right.apply(stored, operation))
      })
      return true
    },
  }),
  'a change whose answer was lost is sent again': (right, rows, random) => ({
    answer(answer, operation) {
      const { kind, key } = operation
      const row = key === null ? undefined : rows.get(key)
      if (kind !== 'change' || key === null || row === undefined || !sometimes(random)) return answer
      rows.set(key, right.apply(row, operation))
      return { outcome: 'unknown' }
    },
  }),
  'a change is refused and stored': (_right, _rows, random) => ({
    answer: (answer, { kind }) => (kind === 'change' && sometimes(random) ? { outcome: 'failed' } : answer),
  }),
  'a cycle loses what was saved since its load': (_, rows) => ({
    move(key, row, newKey) {
      if (!rows.delete(key)) return false
      rows.set(newKey, row)
      return true
    },
  }),
  'a cycle stores an empty session': (right, rows, random) => ({
    move(key, row, newKey) {
      if (!right.move(key, row, newKey)) return false
      if (often(random)) rows.set(newKey, { contents: NOTHING, isExpired: false })
      return true
    },
  }),
  'two cycles of one key both succeed': (_, rows) => ({
    move(key, row, newKey) {
      rows.delete(key)
      rows.set(newKey, row)
      return true
    },
  }),
  'a logout is acknowledged and not executed': (right, _, random) => ({
    remove: (key) => (often(random) ? undefined : right.remove(key)),
  }),
  'a session vanishes': (right, rows, random) => ({
    load(key, operation) {
      if (random() < 0.01) rows.delete(key)
      return right.load(key, operation)
    },
  }),
  'a new session gets a key that is in use': (right, rows, random) => ({
    newKey: () => (rows.size > 0 && sometimes(random) ? pick(random, [...rows.keys()]) : right.newKey()),
  }),
  'a read shows a change that is rolled back': (right, _, random) => ({
    load(key, operation) {
      const row = right.load(key, operation)
      const change = { ...operation, client: 'nobody', number: 1 }
      return row !== null && operation.kind === 'read' && sometimes(random) ? right.apply(row, change) : row
    },
  }),
}
