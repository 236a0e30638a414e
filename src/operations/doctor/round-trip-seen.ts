import type { SessionData } from '../../django/json.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import type { Visit } from './django-pages.ts'
import { backAtDjango } from './round-trip-django.ts'
import type { VisitHere } from './round-trip-here.ts'
import { countIn, notVerified, showsMessages, staleCopy } from './round-trip-results.ts'
import { STEP, type Trip } from './round-trip-state.ts'
import { usesSession } from './upstream-reading.ts'

/** Whether Django saw what was written here. */
export async function checkThere(
  trip: Trip,
  again: Visit,
  {
    cookie,
    first,
    second,
    visitedHere,
  }: { cookie: ReceivedCookie; first: SessionData; second: SessionData; visitedHere: VisitHere },
): Promise<void> {
  const { jar, nonce, name, needsCache, keepsCookie } = trip
  const sent = again.cookies.find((one) => one.name === name)
  const third = await trip.load(sent?.value ?? (keepsCookie ? cookie.value : (jar.values(name)[0] ?? '')))
  if (third === null)
    return trip.fail(STEP.seenThere, {
      read: 'after the visit at Django, the session cannot be read here any more',
      hint: 'Django signs with another key than these: set DJANGO_SECRET_KEY to its SECRET_KEY',
    })
  const [one, two, three] = [countIn(first), countIn(second), countIn(third.data)]
  const isLost = !visitedHere.isRunning && !trip.isMarked(third.data)
  if (one !== null && two !== null && three !== null) {
    if (three === two + 1n && !isLost)
      return trip.ok(STEP.seenThere, `${one}, ${two} and ${three} visits: one count`)
    if (three === two && sent === undefined)
      return trip.fail(STEP.seenThere, {
        read: `Django did not count its second visit`,
        hint: 'a cache in front of Django answers for it: do not cache pages with Vary: Cookie',
      })
    return trip.fail(
      STEP.seenThere,
      three === 1n && one > 0n
        ? notVerified('Django counts from 1 again')
        : staleCopy({ needsCache, two, three }),
    )
  }
  if (isLost || (visitedHere.isRunning && three !== two))
    return trip.fail(STEP.seenThere, staleCopy({ needsCache, two: null, three: null }))
  if (again.page.body.includes(nonce))
    return trip.ok(STEP.seenThere, 'Django showed a message that was written here')
  // A session that Django cannot read is empty when it saves it.
  if (sent !== undefined)
    return trip.ok(STEP.seenThere, 'Django saved the session again, with what was written here')
  trip.skip(
    STEP.seenThere,
    'the page neither counts visits nor shows messages, so that what Django made of the change cannot be seen; a path in the URL of --round-trip names another page',
  )
}

/** Whether Django sees a session that was made here. */
export async function showToDjango(
  trip: Trip,
  visits: readonly Visit[],
  { cookie, deletion }: { cookie: ReceivedCookie; deletion: ReceivedCookie | null },
): Promise<void> {
  const { results, jar, nonce, name, project } = trip
  for (const { path } of visits.filter(({ page }) => usesSession(page))) {
    const again = await backAtDjango(trip, path, cookie)
    const now = await trip.load(jar.values(name)[0] ?? cookie.value)
    if (again.page.body.includes(nonce)) {
      if (now !== null && trip.isMarked(now.data))
        return trip.ok(
          STEP.seenThere,
          `the page ${path} showed a message that was written here, and Django's save was read`,
        )
      return trip.fail(STEP.seenThere, {
        read: 'Django showed a message that was written here, but what it saved then cannot be read here',
        hint: "set DJANGO_SECRET_KEY to Django's SECRET_KEY, and DJANGO_VERSION to its version",
      })
    }
    if (now === null || !trip.isMarked(now.data))
      return trip.fail(STEP.seenThere, notVerified('Django wrote over the session'))
    if (showsMessages(again) && project.settings.messages.storage !== 'cookie') {
      const problem = notVerified(`the page ${path} of Django does not show a message in the session`)
      return trip.fail(STEP.seenThere, { ...problem, hint: `${problem.hint}, and MESSAGE_STORAGE` })
    }
  }
  if (!results.has(STEP.keptThere)) trip.skip(STEP.keptThere, 'no page that was visited uses the session')
  else if (deletion === null) trip.skip(STEP.keptThere, 'no page deletes a cookie that is unknown')
  trip.skip(
    STEP.seenThere,
    'no page that was visited counts visits or shows messages, so that what Django makes of the session cannot be seen; a path in the URL of --round-trip names another page',
  )
}
