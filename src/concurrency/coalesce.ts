export interface CoalesceOptions<Input> {
  /** Inputs of a batch at most; default: no limit. The rest makes up other batches of the same run, at the same time. */
  readonly mostInputs?: number
  /** The size of an input, and of a batch at most, but for a batch of one input; default: inputs have no size. */
  readonly size?: { of(input: Input): number; most(): number }
  /**
   * Whether, after this error of a whole batch, each of its inputs is run on its own; default: never. An error of a batch
   * of one input is always the caller's.
   */
  readonly runsAlone?: (error: unknown) => boolean
  /** Milliseconds that the next run waits for the run in flight; default: until it ends. */
  readonly patience?: number | null
  /**
   * The next run waits for as many callers as the last run had, for this part of the time that the last run took;
   * default: 0. The callers of a run tend to come back together. Without this the first of them gets a run for itself,
   * and all others wait for it.
   */
  readonly gathering?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

interface Call<Input, Result> {
  readonly input: Input
  readonly resolve: (result: Result | Promise<Result>) => void
  readonly reject: (error: unknown) => void
}

/**
 * Coalesces calls: one run in flight; calls made meanwhile share one follow-up run. Without a run in flight, the calls of
 * one turn of the event loop share a run. Each call gets the result of a run that began after it.
 *
 * `run` takes the batch of inputs and returns one result, promise or Error per input, in their order. The run ends without
 * waiting for such a promise. A rejection fails all calls of its batch, unless `runsAlone` says otherwise.
 */
export function coalesce<Input, Result>(
  run: (inputs: readonly Input[]) => Promise<readonly (Result | Promise<Result> | Error)[]>,
  {
    mostInputs = Number.POSITIVE_INFINITY,
    size,
    runsAlone = () => false,
    patience = null,
    gathering = 0,
    monotonic = () => performance.now(),
  }: CoalesceOptions<Input> = {},
): (input: Input) => Promise<Result> {
  let waiting: Call<Input, Result>[] = []
  let isNextPlanned = false
  let inFlight: Promise<unknown> | null = null
  /** The next run waits for this many callers until this time. */
  let expected = { callers: 0, until: 0 }
  let onCall = (): void => {}

  async function runBatch(batch: readonly Call<Input, Result>[]): Promise<void> {
    try {
      const results = await run(batch.map(({ input }) => input))
      if (results.length !== batch.length)
        throw new TypeError(
          `a run of ${batch.length} inputs must return as many results, not ${results.length}`,
        )
      for (const [at, result] of results.entries()) {
        if (result instanceof Error) batch[at]?.reject(result)
        else batch[at]?.resolve(result)
      }
    } catch (error) {
      if (batch.length > 1 && runsAlone(error)) await Promise.all(batch.map((call) => runBatch([call])))
      else for (const { reject } of batch) reject(error)
    }
  }

  async function runWaiting(): Promise<void> {
    const [began, calls] = [monotonic(), waiting]
    waiting = []
    isNextPlanned = false
    const batches = Promise.all(batchesOf(calls, { mostInputs, size }).map(runBatch))
    inFlight = batches
    await batches
    if (inFlight === batches) inFlight = null
    const ended = monotonic()
    expected = { callers: calls.length, until: ended + (ended - began) * gathering }
  }

  /** Milliseconds left to wait for the callers of the last run. */
  function timeToGather(): number {
    return waiting.length < expected.callers ? Math.floor(expected.until - monotonic()) : 0
  }

  async function runNext(): Promise<void> {
    await (inFlight === null ? nextTurn() : settled(inFlight, patience))
    const time = timeToGather()
    if (time > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, time)
        onCall = () => {
          if (timeToGather() > 0) return
          clearTimeout(timer)
          resolve()
        }
      })
    onCall = () => {}
    await runWaiting()
  }

  return (input) =>
    new Promise((resolve, reject) => {
      waiting.push({ input, resolve, reject })
      onCall()
      if (isNextPlanned) return
      isNextPlanned = true
      void runNext()
    })
}

/** In the order of the calls. */
function batchesOf<Input, Result>(
  calls: readonly Call<Input, Result>[],
  { mostInputs, size }: { mostInputs: number; size: CoalesceOptions<Input>['size'] },
): readonly Call<Input, Result>[][] {
  const batches: Call<Input, Result>[][] = []
  let batch: Call<Input, Result>[] = []
  let left = 0
  for (const call of calls) {
    const needed = size?.of(call.input) ?? 0
    if (batch.length === 0 || batch.length >= mostInputs || needed > left) {
      batch = []
      batches.push(batch)
      left = size?.most() ?? 0
    }
    batch.push(call)
    left -= needed
  }
  return batches
}

/** Resolves when the event loop has done what it has at hand. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

/** Resolves once the promise is settled, or its time is over. */
function settled(promise: Promise<unknown>, patience: number | null): Promise<void> {
  return new Promise((resolve) => {
    const timer = patience === null ? undefined : setTimeout(resolve, patience)
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    promise.then(end, end)
  })
}
