import type { UnreadableReason } from '../../django/unreadable-session.ts'
import { number } from './session-details.ts'
import { LARGEST_READ, type Reading, type SampledRow, type SessionSample } from './session-totals.ts'

/** A bar of a plot whose table is its text. Patterns tell the kinds apart, so that no colour is needed. */
export interface Bar {
  readonly label: string
  readonly count: string
  /** Of all rows, for a person: `12.5 %`. */
  readonly share: string
  /** The length of the bar, for SVG: `12.50%`. */
  readonly width: string
  readonly kind: 'plain' | 'old' | 'problem' | 'unknown'
}

const REASONS: Readonly<Record<UnreadableReason, string>> = {
  signature: 'Unreadable: no key verifies the signature',
  format: 'Unreadable: not a format of this Django version',
  payload: 'Unreadable: another serializer, or damaged',
  'not-an-object': 'Unreadable: not a dictionary',
  'too-large': 'Unreadable: larger than the limit',
  'expire-date': 'Unreadable: expire_date is not a date',
}

/** How the rows of the sample read, the most frequent first within each kind. */
export function readingBars({ rows }: SessionSample): Bar[] {
  const groups = Map.groupBy(rows, ({ reading }) => labelOf(reading))
  const order = ['plain', 'old', 'problem', 'unknown']
  return [...groups]
    .map(([label, group]) => bar(label, group.length, { all: rows.length, kind: kindOf(group[0]) }))
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}

function labelOf(reading: Reading): string {
  if (reading.outcome === 'unread') return `Not read here: larger than ${bytes(LARGEST_READ)}`
  if (reading.outcome === 'unreadable') return REASONS[reading.reason]
  if (reading.keyIndex > 0) return `Readable with fallback key ${reading.keyIndex}`
  return reading.format === 'legacy' ? 'Readable, in the legacy format' : 'Readable with SECRET_KEY'
}

function kindOf(row: SampledRow | undefined): Bar['kind'] {
  const reading = row?.reading
  if (reading === undefined || reading.outcome === 'unread') return 'unknown'
  if (reading.outcome === 'unreadable') return 'problem'
  return reading.keyIndex > 0 || reading.format === 'legacy' ? 'old' : 'plain'
}

const SIZES = [256, 512, 1024, 2048, 4096, 8192, 16_384]

/** How large the rows of the sample are. The empty classes at both ends are left out. */
export function sizeBars({ rows }: SessionSample): Bar[] {
  const limits = [...SIZES, Number.POSITIVE_INFINITY]
  const counts = limits.map((limit, at) => {
    const above = limits[at - 1] ?? -1
    return rows.filter(({ size }) => size > above && size <= limit).length
  })
  const first = counts.findIndex((count) => count > 0)
  const last = counts.findLastIndex((count) => count > 0)
  const largest = Math.max(...counts)
  return limits.slice(first, last + 1).map((limit, at) => {
    const above = limits[first + at - 1]
    const label = !Number.isFinite(limit)
      ? `Above ${bytes(above ?? 0)}`
      : above === undefined
        ? `Up to ${bytes(limit)}`
        : `${bytes(above)} to ${bytes(limit)}`
    return bar(label, counts[first + at] ?? 0, { all: rows.length, full: largest, kind: 'plain' })
  })
}

function bar(
  label: string,
  count: number,
  { all, full = all, kind }: { all: number; full?: number; kind: Bar['kind'] },
): Bar {
  return {
    label,
    count: number(count),
    share: `${((100 * count) / all).toLocaleString('en', { maximumFractionDigits: 1 })} %`,
    width: percent(count / full),
    kind,
  }
}

/** Columns side by side, in percent of the plot: text stays at its size however wide the plot is. */
export interface ColumnPlot {
  readonly columns: readonly Column[]
  readonly gridlines: readonly { readonly y: string; readonly label: string }[]
  /** The times at the left, after a quarter, a half and three quarters. */
  readonly ticks: readonly string[]
  /** The width of the part, at the left, of which rows may be missing; null if none are. */
  readonly incomplete: string | null
  /** What the plot shows, in one sentence. */
  readonly summary: string
}

interface Column {
  readonly x: string
  readonly width: string
  readonly y: string
  readonly height: string
  readonly label: string
  readonly count: number
  readonly isComplete: boolean
}

const HOUR = 3_600_000
const HOURS = 24

/** How many sessions were saved in each of the last 24 hours. Null when no row has a time stamp. */
export function hourPlot(
  { rows, completeSince }: SessionSample,
  { now, timeZone }: { now: Date; timeZone: string },
): ColumnPlot | null {
  const times = rows.flatMap(({ savedAt }) => (savedAt === null ? [] : [savedAt.getTime()]))
  if (times.length === 0) return null
  // Hours of UTC: in a zone with another offset than whole hours, the labels say so.
  const start = (Math.floor(now.getTime() / HOUR) - HOURS + 1) * HOUR
  const counts = Array.from({ length: HOURS }, (_, at) => {
    const from = start + at * HOUR
    return times.filter((time) => time >= from && time < from + HOUR).length
  })
  const most = Math.max(...counts)
  const top = niceTop(most)
  const clock = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  const labelAt = (at: number) => clock.format(start + at * HOUR)
  const missing = completeSince === null ? 0 : clamp((completeSince.getTime() - start) / HOUR / HOURS)
  const sum = counts.reduce((total, count) => total + count, 0)
  const busiest = counts.indexOf(most)
  return {
    columns: counts.map((count, at) => ({
      x: percent((at + 0.1) / HOURS),
      width: percent(0.8 / HOURS),
      y: percent(1 - count / top),
      height: percent(count / top),
      label: `${labelAt(at)} to ${labelAt(at + 1)}`,
      count,
      isComplete: at / HOURS >= missing,
    })),
    gridlines: [top, top / 2, 0].map((value) => ({ y: percent(1 - value / top), label: number(value) })),
    ticks: [0, 6, 12, 18].map(labelAt),
    incomplete: missing > 0 ? percent(missing) : null,
    summary:
      sum === 0
        ? 'None of these rows was saved in the last 24 hours.'
        : `${number(sum)} of these sessions ${sum === 1 ? 'was' : 'were'} saved in the last 24 hours. The busiest hour was ${labelAt(busiest)} to ${labelAt(busiest + 1)}, with ${number(most)}.`,
  }
}

/** The smallest of 2, 4, 6, 8, 10, 12, 16, 20, 40 … that is not below `value`: half of it is a whole number. */
function niceTop(value: number): number {
  for (let ten = 1; ; ten *= 10)
    for (const step of [2, 4, 6, 8, 10, 12, 16]) if (step * ten >= value) return step * ten
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share))
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)}%`
}

function bytes(count: number): string {
  return count < 1024 ? `${count} B` : `${count / 1024} KiB`
}
