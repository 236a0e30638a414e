import { createOncePerInterval } from '../concurrency/once-per-interval.ts'

export interface ProgressOptions {
  /** What is counted, e.g. `rows`. */
  readonly unit: string
  /** Where the bar is drawn, on a terminal only. */
  readonly errors: NodeJS.WriteStream
  readonly monotonic?: () => number
}

/** A bar with the rate and the time left. On anything but a terminal nothing is drawn. */
export interface Progress {
  /** `total`: null where it is not known. */
  update(state: { done: number; total: number | null }): void
  /** Removes the bar. */
  end(): void
}

/** Milliseconds between two drawings. */
const INTERVAL = 100

const WIDTH = 24

export function createProgress({
  unit,
  errors,
  monotonic = () => performance.now(),
}: ProgressOptions): Progress {
  const start = monotonic()
  const isDue = createOncePerInterval(INTERVAL, { monotonic })
  return {
    update({ done, total }) {
      if (!errors.isTTY || !isDue(unit)) return
      const seconds = Math.max((monotonic() - start) / 1000, 0.001)
      const line = progressText({ done, total, unit, seconds })
      errors.write(`\r${line.slice(0, errors.columns - 1)}\u001b[K`)
    },
    end() {
      if (errors.isTTY) errors.write('\r\u001b[K')
    },
  }
}

/** One line, e.g. `[######------] 1,200 of 2,400 rows, 50 %, 600/s, 2 s left`. `seconds`: since the start. */
export function progressText({
  done,
  total,
  unit,
  seconds,
}: {
  done: number
  total: number | null
  unit: string
  seconds: number
}): string {
  const rate = done / seconds
  const speed = `${format(Math.round(rate))}/s`
  if (total === null || total === 0) return `${format(done)} ${unit}, ${speed}`
  const share = Math.min(done / total, 1)
  const filled = Math.floor(share * WIDTH)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}]`
  const left = rate === 0 ? '' : `, ${duration((total - Math.min(done, total)) / rate)} left`
  return `${bar} ${format(done)} of ${format(total)} ${unit}, ${Math.floor(share * 100)} %, ${speed}${left}`
}

function format(count: number): string {
  return count.toLocaleString('en')
}

function duration(seconds: number): string {
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`
}
