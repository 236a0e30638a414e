import { type Answer, type Contents, type Entry, nameOf, type Operation, partsOf } from './history.ts'

/** Operations of a history that contradict each other. */
export interface Finding {
  /** The broken promise in a few words, e.g. `acknowledged change lost`. */
  readonly promise: string
  /** The contradiction in a sentence. */
  readonly text: string
  readonly operations: readonly Recorded[]
}

/** An operation with its end. Times are line numbers of the history. */
export interface Recorded extends Operation, Omit<Answer, 'key'> {
  /** The key that a `create` or a `cycle` gave. */
  readonly newKey?: string | undefined
  readonly invokedAt: number
  /** Infinity for an operation without an end, whose outcome is `unknown`. */
  readonly endedAt: number
}

/**
 * Checks a whole history in a time linear in its size, but for sorting. A history is right when it is linearizable: one order
 * of all effects, each between the invocation and the end of its request, explains each answer.
 *
 * Why this needs no search: a history is linearizable if that of each session is (Herlihy and Wing, 1990), and a session
 * here is a set that only grows until its key dies. Each change adds a name of its own, and each answer shows the whole
 * set. So the order can be read off the answers:
 *
 * - An answer shows all that was certain when it was invoked: the changes that were acknowledged or seen by then. With a
 *   change it shows all that was certain when that change was invoked. (Lost changes, stale reads, own writes not read.)
 * - It shows no change of the future, of another session, or that was refused. (Writes to dead keys, swapped keys.)
 * - Of two answers, one shows all that the other shows. Sorted by size, each contains the one before. (Lost updates.)
 * - A key that is dead for certain, by an acknowledged logout or by an answer that did not find it, is never alive for a
 *   request that is invoked later. It dies only by a request, and one `cycle` of it succeeds at most. (Sessions revived.)
 *
 * Each condition is necessary, so each finding is a contradiction. For one key they suffice: order the answers by size, and
 * each change before the first answer that shows it. The first two conditions say that this order agrees with the real one,
 * and the last that the death of the key can be put after all of them. Of two keys of one session, the model does not
 * require that what was sent to the old one comes first.
 *
 * A change that was applied twice or in part is visible in one answer alone: one save writes the counter, the log, and the
 * last number of each client, so they agree.
 */
export function check(entries: Iterable<Entry>): Finding[] {
  const { operations, events } = record(entries)
  const findings: Finding[] = []
  const report = (promise: string, text: string, ...involved: Recorded[]) =>
    void findings.push({ promise, text, operations: [...new Set(involved)] })
  const changes = new Map<string, Tracked>()
  const ends = Map.groupBy(operations.filter(mayEnd), (operation) => endedBy(operation))
  const sessions = new Map<string, SessionModel>()
  const keys = new Map<string, KeyModel>()

  for (const { operation, isEnd } of events) {
    const session = at(sessions, operation.session, () => ({
      certain: [],
      known: new Set<string>(),
      answers: [],
    }))
    if (isEnd) end(operation, session)
    else {
      operation.certain = session.certain.length
      operation.deadBy = operation.key === null ? null : (keys.get(operation.key)?.deadBy ?? null)
      if (operation.number !== undefined) changes.set(nameOf(operation), operation)
    }
  }
  for (const session of sessions.values()) checkChain(session)
  return findings

  function end(operation: Tracked, session: SessionModel): void {
    const { kind, outcome, key, seen } = operation
    if (outcome === 'gone') checkDeath(operation)
    if (outcome !== 'ok') return
    if (operation.deadBy !== null && kind !== 'logout') {
      report(
        'dead session revived',
        'a request finds a session after it was gone',
        operation.deadBy,
        operation,
      )
    }
    if (seen !== undefined) checkContents(operation, seen, session)
    if (operation.number !== undefined) makeCertain(nameOf(operation), operation, session)
    if (key !== null && mayEnd(operation)) {
      const model = at(keys, key, () => ({ deadBy: null, movedBy: null }))
      model.deadBy ??= operation
      if (kind === 'cycle') {
        if (model.movedBy !== null)
          report('session forked', 'one key is replaced twice', model.movedBy, operation)
        model.movedBy = operation
      }
    }
    const { newKey } = operation
    if (newKey === undefined) return
    if (keys.has(newKey)) report('key given twice', 'a new key was in use before', operation)
    keys.set(newKey, { deadBy: null, movedBy: null })
  }

  function checkDeath(operation: Tracked): void {
    const { key, session, endedAt } = operation
    if (key === null) return
    const causes = [...(ends.get(key) ?? []), ...(ends.get(session) ?? [])]
    if (!causes.some(({ invokedAt }) => invokedAt < endedAt))
      report('session lost', 'a session is gone that no request ended', operation)
    at(keys, key, () => ({ deadBy: null, movedBy: null })).deadBy ??= operation
  }

  function checkContents(operation: Tracked, seen: Contents, session: SessionModel): void {
    const names = new Set(seen.log)
    const contradiction = contradictionIn(seen, names)
    if (contradiction !== null) report('change applied twice or in part', contradiction, operation)
    if (operation.number !== undefined && !operation.isBefore && !names.has(nameOf(operation)))
      report('own write not read', `the answer does not show ${nameOf(operation)} itself`, operation)

    let certain = operation.certain
    let through = operation
    for (const name of names) {
      const change = changes.get(name)
      if (change === undefined || change.session !== operation.session) {
        const others = change === undefined ? [] : [change]
        report(
          'foreign change',
          `the answer shows ${name}, which is not of this session`,
          ...others,
          operation,
        )
        continue
      }
      if (change.outcome === 'gone' || change.outcome === 'failed')
        report('refused change applied', `${name} was refused, and is shown`, change, operation)
      if (change.deadBy !== null && change.outcome !== 'ok')
        report(
          'write to a dead key',
          `${name} was sent to a key that was dead`,
          change.deadBy,
          change,
          operation,
        )
      const death = operation.key === null ? null : keys.get(operation.key)?.deadBy
      if (death && change.invokedAt > death.endedAt)
        report('dead session revived', `a dead key shows ${name}, which is later`, death, change, operation)
      if (change.certain > certain) [certain, through] = [change.certain, change]
    }
    for (const { name, by } of session.certain.slice(0, certain)) {
      if (names.has(name)) continue
      const change = changes.get(name) ?? by
      const promise = change.outcome === 'ok' ? 'acknowledged change lost' : 'seen change lost'
      report(
        promise,
        `${name} was stored, and a later answer does not show it`,
        change,
        by,
        through,
        operation,
      )
      break
    }
    for (const name of names)
      if (changes.get(name)?.session === operation.session) makeCertain(name, operation, session)
    session.answers.push({ operation, names })
  }

  function checkChain({ answers }: SessionModel): void {
    const sorted = answers.toSorted((a, b) => a.names.size - b.names.size)
    for (const [index, larger] of sorted.entries()) {
      const smaller = sorted[index - 1]
      const name = smaller?.names.values().find((each) => !larger.names.has(each))
      if (smaller === undefined || name === undefined) continue
      const text = `two answers each show a change that the other does not: only the first shows ${name}`
      report('histories diverge', text, smaller.operation, larger.operation)
    }
  }
}

/** The finding with the fewest operations, and of these the one in the fewest lines of the history. */
export function smallest(findings: readonly Finding[]): Finding | null {
  const size = ({ operations }: Finding) => operations.length
  const span = ({ operations }: Finding) =>
    Math.max(...operations.map(({ endedAt }) => endedAt)) -
    Math.min(...operations.map(({ invokedAt }) => invokedAt))
  return findings.toSorted((a, b) => size(a) - size(b) || span(a) - span(b))[0] ?? null
}

/** A finding in a few lines: the promise, and each operation that takes part. */
export function describe({ promise, text, operations }: Finding): string {
  const lines = operations
    .toSorted((a, b) => a.invokedAt - b.invokedAt)
    .map((operation) => {
      const { invokedAt, endedAt, client, kind, session, key, outcome, newKey, seen } = operation
      const change = operation.number === undefined ? '' : ` ${nameOf(operation)}`
      const shown = seen === undefined ? '' : `, shows ${shortened(JSON.stringify(seen))}`
      const given = newKey === undefined ? '' : `, new key ${newKey}`
      const lasted = Number.isFinite(endedAt) ? `${invokedAt}–${endedAt}` : `${invokedAt}–`
      return `  lines ${lasted}: ${client} ${kind}${change} of ${session}, key ${key}: ${outcome}${given}${shown}`
    })
  return [`${promise}: ${text}`, ...lines].join('\n')
}

interface Tracked extends Recorded {
  /** How much of the session's `certain` there was when it was invoked. */
  certain: number
  /** What had shown by then that its key was dead. */
  deadBy: Tracked | null
}

interface SessionModel {
  /** The changes that are known to be stored, in the order in which that became known, and which answer says so. */
  readonly certain: { readonly name: string; readonly by: Tracked }[]
  readonly known: Set<string>
  readonly answers: { readonly operation: Tracked; readonly names: ReadonlySet<string> }[]
}

interface KeyModel {
  deadBy: Tracked | null
  movedBy: Tracked | null
}

function record(entries: Iterable<Entry>): {
  operations: Tracked[]
  events: { operation: Tracked; isEnd: boolean }[]
} {
  const operations = new Map<number, Tracked>()
  const events: { operation: Tracked; isEnd: boolean }[] = []
  let line = 0
  for (const entry of entries) {
    line += 1
    if ('invoke' in entry) {
      const unended = { outcome: 'unknown', endedAt: Number.POSITIVE_INFINITY, newKey: undefined } as const
      const operation = { ...entry.invoke, ...unended, invokedAt: line, certain: 0, deadBy: null }
      operations.set(operation.id, operation)
      events.push({ operation, isEnd: false })
    } else {
      const operation = operations.get(entry.end)
      if (operation === undefined)
        throw new Error(`Line ${line} ends operation ${entry.end}, which no line begins`)
      const { end, key, ...answer } = entry
      Object.assign(operation, answer, { newKey: key, endedAt: line })
      events.push({ operation, isEnd: true })
    }
  }
  return { operations: [...operations.values()], events }
}

function shortened(text: string): string {
  return text.length > 400 ? `${text.slice(0, 400)}…` : text
}

/** Whether it may have ended the life of its key. */
function mayEnd({ kind, outcome }: Tracked): boolean {
  return ['logout', 'expire', 'cycle'].includes(kind) && (outcome === 'ok' || outcome === 'unknown')
}

/** An expiry is part of the data, and goes to the next key with it. */
function endedBy({ kind, session, key }: Tracked): string {
  return kind === 'expire' ? session : (key ?? '')
}

function makeCertain(name: string, by: Tracked, { certain, known }: SessionModel): void {
  if (known.has(name)) return
  known.add(name)
  certain.push({ name, by })
}

function contradictionIn({ log, count, last, cart }: Contents, names: ReadonlySet<string>): string | null {
  if (names.size !== log.length) return 'the log holds a change twice'
  if (count !== log.length) return `the counter says ${count}, the log holds ${log.length}`
  const numbers: Record<string, number> = {}
  for (const name of names) {
    const { client, number } = partsOf(name)
    numbers[client] = Math.max(numbers[client] ?? 0, number)
  }
  for (const [part, found] of Object.entries({ last, cart })) {
    for (const client of new Set([...Object.keys(found), ...Object.keys(numbers)])) {
      if (found[client] !== numbers[client])
        return `${part} holds ${found[client]} of ${client}, the log ${numbers[client]}`
    }
  }
  return null
}

function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
