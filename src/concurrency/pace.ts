/**
 * How many rows a background job changes at once, and how long it rests, so that other writes are hardly slower.
 *
 * A step has two parts: one row alone, whose time shows what a save costs at the moment, and then a batch. The size of the
 * batch is chosen so that it takes `BATCH_TIME`, and a batch takes at most half of the time. When a row alone takes much
 * longer than it took while the database was quiet, batches shrink and rests grow until the database is quiet again.
 */
export interface Pace {
  /** Rows of the next batch. */
  readonly rows: number
  /** Returns the milliseconds to rest after a step. `alone`: milliseconds for one row; `batch`: milliseconds for `rows` rows. */
  rest(measured: { alone: number; batch: number; rows: number }): number
}

export interface PaceOptions {
  /** The largest batch, in rows. */
  readonly most: number
}

/** Milliseconds that a batch should take. */
const BATCH_TIME = 40

/** The longest rest, in milliseconds. */
const LONGEST_REST = 1000

const FEWEST_ROWS = 10

/** The database is busy when a row alone takes longer than `times` the quiet time and `more` milliseconds. */
const BUSY = { times: 3, more: 15 }

/** Creates the pace of one job. */
export function createPace({ most }: PaceOptions): Pace {
  let rows = Math.min(most, 100)
  let quiet = Number.POSITIVE_INFINITY
  let extra = 0
  return {
    get rows() {
      return rows
    },
    rest({ alone, batch, rows: done }) {
      // The quiet time rises again, slowly: a database that has become slower for good is not busy for ever.
      quiet = Math.min(alone, quiet * 1.01)
      const isBusy = alone > quiet * BUSY.times + BUSY.more
      extra = isBusy ? Math.min(Math.max(extra * 2, 20), LONGEST_REST) : extra / 2
      const fitting = done === 0 ? rows : (done * BATCH_TIME) / Math.max(batch, 1)
      const wanted = isBusy ? rows / 2 : Math.min(fitting, rows * 2)
      rows = Math.round(Math.min(Math.max(wanted, FEWEST_ROWS), most))
      return Math.min(batch + extra, LONGEST_REST)
    },
  }
}
