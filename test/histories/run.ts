import { createWriteStream, readFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type Broken, canStrike, type FaultName, strike } from './faults.ts'
import { generate, type Target } from './generator.ts'
import type { Entry, Kind, Operation } from './history.ts'
import { check, type Finding } from './model.ts'
import { createRandom, pick } from './random.ts'
import type { MergingSide, Side } from './sides.ts'

export interface RoundOptions {
  readonly seed: number
  readonly operations: number
  readonly clients?: number
  readonly sessions?: number
  readonly broken: Omit<Broken, 'keys' | 'random'>
  /** Default: all that can strike here. */
  readonly faults: readonly FaultName[]
  /** How many requests are sent from the end of one fault to the next. */
  readonly between: number
  /** Plain Django, which gets some reads and logouts. */
  readonly django?: Target | null
  /** A Django whose sessions merge. */
  readonly merging?: MergingSide | null
  /** The kinds of requests that are not sent. */
  readonly without?: readonly Kind[]
  /** The part of the requests to the two processes that are sent by HTTP. */
  readonly http?: number
  /** Where the history is written, one JSON object a line. */
  readonly file: string
}

export interface Round {
  readonly operations: number
  /** How many requests ended so. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly strikes: Readonly<Record<string, number>>
  readonly findings: readonly Finding[]
}

/** The part of the reads and logouts that goes to plain Django. */
const TO_DJANGO = 0.1
/** The part of these requests that goes to the Django whose sessions merge. */
const TO_MERGING = 0.3

/** Sends requests while faults strike, reads all sessions once more, and checks the history. */
export async function runRound({
  seed,
  operations,
  clients = 16,
  sessions = 6,
  broken: parts,
  faults,
  between,
  django = null,
  merging = null,
  without = [],
  http = 0,
  file,
}: RoundOptions): Promise<Round> {
  const random = createRandom(seed)
  const output = createWriteStream(file)
  const outcomes: Record<string, number> = {}
  const strikes: Record<string, number> = {}
  const recent: string[] = []
  let begun = 0
  const clientsEnd = new AbortController()

  function record(entry: Entry): void {
    output.write(`${JSON.stringify(entry)}\n`)
    if ('invoke' in entry) {
      begun += 1
      return
    }
    outcomes[entry.outcome] = (outcomes[entry.outcome] ?? 0) + 1
    if (entry.key !== undefined) recent.push(entry.key)
    if (recent.length > sessions) recent.shift()
  }

  function target({ kind }: Operation): Target {
    if (django !== null && (kind === 'read' || kind === 'logout') && random() < TO_DJANGO) return django
    if (merging?.kinds.includes(kind) && random() < TO_MERGING) return merging
    const side: Side = pick(random, parts.sides)
    return random() < http ? side.http : side
  }

  const broken: Broken = { ...parts, random: createRandom(seed + 1), keys: () => recent }
  const possible = faults.filter((name) => canStrike(name, broken))
  async function strikeOften(): Promise<void> {
    let next = between
    for (let turn = 0; possible.length > 0; turn += 1) {
      while (begun < next && !clientsEnd.signal.aborted) await delay(5)
      if (clientsEnd.signal.aborted) return
      const name = possible[(seed + turn) % possible.length] ?? pick(broken.random, possible)
      await strike(name, broken)
      strikes[name] = (strikes[name] ?? 0) + 1
      next = begun + between
    }
  }

  const striking = strikeOften()
  const pause = () => delay(20)
  const given = await generate({ target, operations, clients, sessions, without, random, record, pause })
  clientsEnd.abort()
  await striking

  async function readLast(client: number): Promise<void> {
    for (let at = client; at < given.length; at += clients) {
      const { session = '', key = '' } = given[at] ?? {}
      for (const [turn, side] of parts.sides.entries()) {
        const id = operations + at * parts.sides.length + turn
        const operation = { id, kind: 'read', client: `last${client}`, session, key } as const
        record({ invoke: operation })
        record({ end: id, ...(await side.send(operation)) })
      }
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, client) => readLast(client)))
  output.end()
  await finished(output)
  return { operations: begun, outcomes, strikes, findings: check(readHistory(file)) }
}

/** The entries of a history that was written to a file. */
export function readHistory(file: string): Entry[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Entry)
}
