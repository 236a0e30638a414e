import type { LibrarySize } from './library.ts'
import type { Target } from './targets.ts'

/** What visitors do, and on how much data. */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly size: LibrarySize
  /** `many`: each request is of one of them, by chance; `hot`: all are of one; `new`: none has a cookie. */
  readonly visitors: 'many' | 'hot' | 'new'
  /** Bytes of JSON that a session holds beside its number of visits. */
  readonly payload: number
  readonly connections: number
  /** Of each target but Django, which has its two workers. */
  readonly processes: 1 | 2
  /** How much longer than the others it is measured: where a request takes long. */
  readonly stretch: number
  /** `parts`: the floor and what it costs with parts of ours; `whole`: all others. */
  readonly compares: 'whole' | 'parts'
}

const USUAL = {
  size: 'small',
  visitors: 'many',
  payload: 0,
  connections: 16,
  processes: 1,
  stretch: 1,
  compares: 'whole',
} as const

export const SCENARIOS: readonly Scenario[] = [
  { ...USUAL, name: 'returning-16', title: 'Returning sessions, 16 connections' },
  { ...USUAL, name: 'returning-1', title: 'Returning sessions, 1 connection', connections: 1 },
  { ...USUAL, name: 'returning-64', title: 'Returning sessions, 64 connections', connections: 64 },
  { ...USUAL, name: 'returning-two', title: 'Returning sessions, two processes', processes: 2 },
  { ...USUAL, name: 'new', title: 'New visitors', visitors: 'new' },
  { ...USUAL, name: 'hot', title: 'One hot session', visitors: 'hot' },
  { ...USUAL, name: 'hot-two', title: 'One hot session, two processes', visitors: 'hot', processes: 2 },
  { ...USUAL, name: 'payload-1k', title: 'Sessions of 1 kB', payload: 1_000 },
  { ...USUAL, name: 'payload-100k', title: 'Sessions of 100 kB', payload: 100_000 },
  { ...USUAL, name: 'large', title: 'Library of 10,000 books, 50,000 copies', size: 'large' },
  { ...USUAL, name: 'huge-16', title: 'Library of 100,000 books, 500,000 copies', size: 'huge', stretch: 2 },
  {
    ...USUAL,
    name: 'huge-64',
    title: 'The same library, 64 connections',
    size: 'huge',
    connections: 64,
    stretch: 2,
  },
  {
    ...USUAL,
    name: 'libraries',
    title: 'What libraries cost: the floor with one of ours',
    compares: 'parts',
  },
]

/** Who takes part in a scenario. */
export function targetsOf({ compares }: Scenario, targets: readonly Target[]): readonly Target[] {
  return targets.filter(({ kind }) =>
    compares === 'parts' ? kind === 'floor' || kind === 'part' : kind !== 'part',
  )
}

/** How many sessions `many` are: enough that two requests at once hardly ever meet in one. */
export function sessionCount({ visitors, payload, size }: Scenario): number {
  if (visitors === 'hot') return 1
  if (payload >= 100_000) return 200
  return size === 'huge' ? 500 : 2000 // peers make each by a visit, which takes 0.1 s there
}
