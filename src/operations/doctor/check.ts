import type { SettingName } from '../../service/settings/definitions.ts'
import type { Settings } from '../../service/settings/settings.ts'
import type { Note } from '../import-settings/take-over.ts'
import type { Project } from '../open-project.ts'

/** Groups of checks, for `--tag`; the first part of each id. */
export const TAGS = ['database', 'sessions', 'users', 'http', 'django', 'roundtrip'] as const

export type Tag = (typeof TAGS)[number]

/** `E`: a failure. `W`: a warning. `I`: information, which is never a problem. */
export type CheckId = `${Tag}.${'E' | 'W' | 'I'}${number}`

/** What one check looks at. `docs/doctor.md` has a section for each, written from these texts. */
export interface Check {
  /** Stable, e.g. `sessions.E003`. */
  readonly id: CheckId
  /** What is right when the check passes, e.g. `the secret key is Django's`. */
  readonly title: string
  /** What it reads, and what visitors see when it fails. For the docs page. */
  readonly meaning: string
  /** What to do when it fails. For the docs page. */
  readonly remedy: string
  /** Ids of checks whose failure explains a failure of this one: then this one is skipped. */
  readonly after?: readonly CheckId[]
  /** Whether the service runs it at its start: a few indexed reads at most, and no request. */
  readonly isCheap: boolean
  readonly run: (evidence: Evidence) => Promise<Result>
}

/** What a check found. No text holds a secret, a session key, or a value of a session. */
export type Result =
  /** `read`: what was read, for a person, e.g. `20 of the 20 newest sessions verify`. */
  | { readonly outcome: 'ok'; readonly read: string }
  /** `hint`: what to do, with the setting and, where it is known, its right value. */
  | { readonly outcome: 'failed'; readonly read: string; readonly hint: string }
  /** `because`: completes "Skipped, because …". */
  | { readonly outcome: 'skipped'; readonly because: string }

export const ok = (read: string): Result => ({ outcome: 'ok', read })
export const failed = (read: string, hint: string): Result => ({ outcome: 'failed', read, hint })
export const skipped = (because: string): Result => ({ outcome: 'skipped', because })

/** What all checks of one run may look at. A reading that several checks need is shared with `perRun`. */
export interface Evidence {
  readonly project: Project
  /** What `--django manage.py` was told; null without it. */
  readonly django: DjangoAnswers | null
  /** The URL of Django for the round trip, and of this service; null without `--round-trip`. */
  readonly roundTrip: { readonly django: URL; readonly here: URL } | null
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal | null
}

/** The settings of the running project, as `operations/import-settings/` asks for them. */
export interface DjangoAnswers {
  /** What this service would have to be set to; null where that is not possible: `refused` says why. */
  readonly settings: Settings | null
  /** The same as text, without defaults that both sides share. */
  readonly values: ReadonlyMap<SettingName, string>
  readonly refused: readonly Note[]
  readonly warnings: readonly Note[]
}

/** Shares a reading between the checks of a run: read at most once for each `Evidence`. */
export function perRun<R>(read: (evidence: Evidence) => Promise<R>): (evidence: Evidence) => Promise<R> {
  const readings = new WeakMap<Evidence, Promise<R>>()
  return (evidence) => {
    const known = readings.get(evidence)
    if (known !== undefined) return known
    const reading = read(evidence)
    readings.set(evidence, reading)
    return reading
  }
}
