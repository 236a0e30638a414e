import type { LibrarySize } from './library.ts'
import type { Target } from './targets.ts'

/** What visitors do, and with how much data. */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly size: LibrarySize
  /** `many`: each request uses a random one of many sessions; `hot`: all use the same; `new`: no request has a cookie. */
  readonly visitors: 'many' | 'hot' | 'new'
  /** Bytes of JSON in a session, besides its number of visits. */
  readonly payload: number
  readonly connections: number
  /** Processes of each target, except Django, which has two workers. */
  readonly processes: 1 | 2
  /** The factor by which a round is longer, for slow requests. */
  readonly stretch: number
  /** `parts`: the floor, alone and with one library of the service; `whole`: all other targets. */
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

/** The targets of a scenario. */
export function targetsOf({ compares }: Scenario, targets: readonly Target[]): readonly Target[] {
  return targets.filter(({ kind }) =>
    compares === 'parts' ? kind === 'floor' || kind === 'part' : kind !== 'part',
  )
}

/** The number of sessions for `many`: enough that simultaneous requests rarely use the same one. */
export function sessionCount({ visitors, payload, size }: Scenario): number {
  if (visitors === 'hot') return 1
  if (payload >= 100_000) return 200
  return size === 'huge' ? 500 : 2000 // peers create each session by a visit, which takes 0.1 s there
}
