import type { Project } from '../open-project.ts'
import { type Check, type CheckId, type Result, skipped } from './check.ts'
import type { Visit } from './django-pages.ts'
import { readUpstream, type UpstreamReading } from './upstream-reading.ts'

export const ANSWERS = 'http.E003'
export const LOOP = 'http.E004'
export const HOSTS = 'http.E005'
export const REDIRECTS = 'http.E006'
export const IS_DJANGO = 'http.E007'

/** What must be right before an answer says anything about Django's settings. */
export const REACHED: readonly CheckId[] = [ANSWERS, LOOP, HOSTS, REDIRECTS, IS_DJANGO]

/** A check of what requests through DJANGO_UPSTREAM show. */
export function throughUpstream(look: (reading: UpstreamReading, project: Project) => Result): Check['run'] {
  return async (evidence) => {
    const reading = await readUpstream(evidence)
    return reading === null ? skipped('DJANGO_UPSTREAM is not set') : look(reading, evidence.project)
  }
}

export function noSession({ visits }: UpstreamReading): Result {
  return skipped(`none of the pages ${pathsOf(visits)} made a session for a new visitor; see --round-trip`)
}

export function pathsOf(visits: readonly Visit[]): string {
  return visits.map(({ path }) => path).join(', ')
}
