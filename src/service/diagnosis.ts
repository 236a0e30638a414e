import type { DoctorReport } from './monitoring/health.ts'
import { errorFields, type Log } from './monitoring/log.ts'

/** A check of the doctor that failed at this site. */
export interface Problem {
  /** E.g. `sessions.E003`. */
  readonly id: string
  readonly level: 'error' | 'warning'
  /** What is right when the check passes. */
  readonly title: string
  readonly read: string
  /** What to do. */
  readonly hint: string
}

/** Runs the doctor's cheap checks. After the abort of `signal`, no further check is run. */
export type Diagnose = (signal: AbortSignal) => Promise<readonly Problem[]>

/** The doctor beside the running service: it never delays or fails a request. */
export interface Diagnosis {
  /** For `/health/ready?verbose`. */
  report(): DoctorReport
  /** Runs the doctor a moment later, when the first requests have been served. */
  schedule(): void
  /** Ends it: no further check is run. */
  stop(): void
}

export interface DiagnosisOptions {
  readonly diagnose: Diagnose
  readonly log: Log
  /** Milliseconds between `schedule` and the run. */
  readonly delay?: number
  /** Milliseconds that a run may take. */
  readonly timeout?: number
}

/** Logs each problem once, however often it is found. */
export function createDiagnosis({
  diagnose,
  log,
  delay = 1000,
  timeout = 30_000,
}: DiagnosisOptions): Diagnosis {
  const stopping = new AbortController()
  const logged = new Set<string>()
  let problems: readonly Problem[] | null = null
  let running = Promise.resolve()

  async function run(): Promise<void> {
    if (stopping.signal.aborted) return
    try {
      const found = await diagnose(AbortSignal.any([stopping.signal, AbortSignal.timeout(timeout)]))
      if (stopping.signal.aborted) return // Databases that are being closed prove nothing.
      problems = found
      for (const problem of found) logOnce(problem)
    } catch (error) {
      if (!stopping.signal.aborted) log.warn('doctor.failed', errorFields(error))
    }
  }

  function logOnce({ id, level, read, hint }: Problem): void {
    if (logged.has(id)) return
    logged.add(id)
    if (level === 'error') log.error('doctor.finding', { id, level, read, hint })
    else log.warn('doctor.finding', { id, level, read, hint })
  }

  return {
    report() {
      if (problems === null) return { outcome: 'pending', findings: [] }
      const findings = problems.map(({ id, level, title }) => ({ id, level, title }))
      const worst = ['error', 'warning'] as const
      return { outcome: worst.find((one) => findings.some(({ level }) => level === one)) ?? 'ok', findings }
    },
    schedule() {
      setTimeout(() => {
        running = running.then(run)
      }, delay).unref()
    },
    stop: () => stopping.abort(),
  }
}
