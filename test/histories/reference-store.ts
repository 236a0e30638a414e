import type { Target } from './generator.ts'
import { type Answer, type Contents, changed, NOTHING, type Operation } from './history.ts'
import type { Random } from './random.ts'

/** A row of the reference store. Rows are replaced, never changed. */
export interface Row {
  readonly contents: Contents
  readonly isExpired: boolean
}

/** The steps of a request; a planted fault replaces some of them. */
export interface Steps {
  /** The row under this key; null when there is none. */
  load(key: string, operation: Operation): Row | null
  /** What a change stores in place of this row. */
  apply(row: Row, operation: Operation): Row
  /** Replaces the row if it is still this one. */
  swap(key: string, row: Row, next: Row, operation: Operation): boolean
  /** Moves the row to the new key if it is still this one. */
  move(key: string, row: Row, newKey: string): boolean
  remove(key: string): void
  newKey(): string
  /** What is answered. */
  answer(answer: Answer, operation: Operation): Answer
}

/**
 * A store in memory that is right: it compares and swaps, as the real one does. Requests are interleaved at random, and
 * some answers are lost, before or after the request was executed.
 */
export function createReferenceStore(
  random: Random,
  plant: (steps: Steps, rows: Map<string, Row>, random: Random) => Partial<Steps> = () => ({}),
): Target {
  const rows = new Map<string, Row>()
  let keys = 0
  const right: Steps = {
    load: (key) => rows.get(key) ?? null,
    apply: (row, operation) => ({ ...row, contents: changed(row.contents, operation) }),
    swap(key, row, next) {
      if (rows.get(key) !== row) return false
      rows.set(key, next)
      return true
    },
    move(key, row, newKey) {
      if (rows.get(key) !== row) return false
      rows.delete(key)
      rows.set(newKey, row)
      return true
    },
    remove: (key) => void rows.delete(key),
    newKey: () => `key${keys++}`,
    answer: (answer) => answer,
  }
  const steps: Steps = { ...right, ...plant(right, rows, random) }

  async function turn(): Promise<void> {
    for (let left = Math.floor(random() * 6); left > 0; left -= 1) await null
  }

  async function execute(operation: Operation): Promise<Answer> {
    const { kind, key } = operation
    if (key === null) {
      const newKey = steps.newKey()
      const row = steps.apply({ contents: NOTHING, isExpired: false }, operation)
      rows.set(newKey, row)
      return { outcome: 'ok', key: newKey, seen: row.contents }
    }
    for (;;) {
      const row = steps.load(key, operation)
      if (row === null || row.isExpired) return { outcome: 'gone' }
      await turn()
      if (kind === 'read') return { outcome: 'ok', seen: row.contents }
      if (kind === 'logout') {
        steps.remove(key)
        return { outcome: 'ok' }
      }
      if (kind === 'cycle') {
        const newKey = steps.newKey()
        if (steps.move(key, row, newKey))
          return { outcome: 'ok', key: newKey, seen: rows.get(newKey)?.contents ?? NOTHING }
      } else {
        const next = kind === 'expire' ? { ...row, isExpired: true } : steps.apply(row, operation)
        if (steps.swap(key, row, next, operation))
          return { outcome: 'ok', ...(kind === 'change' && { seen: next.contents }) }
      }
    }
  }

  return {
    async send(operation) {
      await turn()
      const lost = random() * 100
      if (lost < 1) return { outcome: 'unknown' }
      const answer = steps.answer(await execute(operation), operation)
      await turn()
      return lost < 2 ? { outcome: 'unknown' } : answer
    },
  }
}
