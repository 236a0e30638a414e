import { type Evidence, perRun } from './check.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import type { Visit } from './django-pages.ts'
import { hasCopy, openOurSessions, removeSessions } from './our-sessions.ts'
import { backAtDjango, beginAtDjango, readTheirs } from './round-trip-django.ts'
import { checkHere, visitHere, visitInProcess } from './round-trip-here.ts'
import { copiesResult } from './round-trip-results.ts'
import { checkThere, showToDjango } from './round-trip-seen.ts'
import { beginTrip, STEP, StepFailed, type StepResults, type Trip } from './round-trip-state.ts'
import { deletionOf } from './upstream-reading.ts'

/** Goes the round trip, once for each run; null without `--round-trip`. */
export const takeRoundTrip: (evidence: Evidence) => Promise<StepResults | null> = perRun(
  async ({ project, roundTrip, signal }) => {
    if (roundTrip === null) return null
    const sessions = openOurSessions(project)
    const trip = beginTrip(project, roundTrip, { sessions, signal })
    try {
      await go(trip)
    } catch (error) {
      if (!(error instanceof StepFailed)) throw error
    } finally {
      // Also after Ctrl-C: nothing of the doctor's stays.
      await removeSessions(project, sessions.engine, trip.made)
      await sessions.close()
    }
    return trip.results
  },
)

async function go(trip: Trip): Promise<void> {
  const { visits, cookie, path } = await beginAtDjango(trip)
  if (cookie === null) await goFromHere(trip, visits)
  else await goFromDjango(trip, cookie, path)
}

async function goFromDjango(trip: Trip, cookie: ReceivedCookie, path: string): Promise<void> {
  const { project, results } = trip
  const first = await readTheirs(trip, cookie)
  const copied = await hasCopy(project, cookie.value)
  const visitedHere = await visitHere(trip, first.data)
  const second = await checkHere(trip, visitedHere, { cookie, before: first })
  const again = await backAtDjango(trip, path, cookie)
  await checkThere(trip, again, { cookie, first: first.data, second: second.data, visitedHere })
  results.set(STEP.copies, copiesResult(copied))
}

/** For a site without a page that makes a session: a session made here is sent to Django. */
async function goFromHere(trip: Trip, visits: readonly Visit[]): Promise<void> {
  const { project, scheme, name, theirs } = trip
  for (const id of [STEP.place, STEP.reading, STEP.end, STEP.age]) trip.skip(id, 'Django made no session')
  const deletion = await deletionOf(theirs, { visits, project, host: trip.theirHost, scheme })
  if (deletion === null) trip.skip(STEP.name, 'no page shows how Django names its session cookie')
  else trip.ok(STEP.name, `Django deletes an unknown cookie ${name}`)
  trip.ok(STEP.here, 'Django made no session, so one was made in this process, through the library')
  const { cookies } = await visitInProcess(trip, null)
  const [cookie] = cookies
  const stored = cookie === undefined ? null : await trip.load(cookie.value)
  if (cookie === undefined || stored === null)
    return trip.fail(STEP.savedHere, {
      read: 'a session that was saved here cannot be read',
      hint: 'see `doctor --tag database`',
    })
  trip.skip(STEP.keptHere, 'Django made no session')
  trip.ok(STEP.savedHere, 'what was written here was read again')
  await showToDjango(trip, visits, { cookie, deletion })
  trip.skip(STEP.copies, 'Django made no session')
}
