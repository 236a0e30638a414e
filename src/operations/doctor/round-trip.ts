import type { Check, CheckId } from './check.ts'
import { STEP } from './round-trip-state.ts'
import { takeRoundTrip } from './round-trip-steps.ts'

/** One visit to each side with one cookie jar, step by step: the proof that all of it works, or the first step that fails. */
export const ROUND_TRIP_CHECKS: readonly Check[] = [
  step(STEP.answers, {
    title: 'Django answers at the URL of --round-trip',
    meaning:
      'Asks for pages as a new visitor, by GET: the path of the URL if it has one, `/catalog/`, `LOGIN_URL`, `/admin/login/` and `/`, until one makes a session. Redirects are followed within the site only. Sessions that the doctor made are removed at the end.',
    remedy: 'Start Django, and give `--round-trip` the address at which it listens.',
  }),
  step(STEP.cookie, {
    title: "Django's session cookie arrives",
    meaning:
      'Looks for the cookie of the session that Django made. On a site whose pages make no session for a stranger, a session made here is sent to Django instead, and the steps that need one of Django’s are skipped.',
    remedy: 'Let the proxy or cache in front of Django pass `Set-Cookie`.',
  }),
  step(STEP.name, {
    title: 'its name is SESSION_COOKIE_NAME',
    meaning: 'Compares the name of the cookie. With two names, each side counts alone.',
    remedy: 'Set `SESSION_COOKIE_NAME` as in settings.py.',
  }),
  step(STEP.place, {
    title: "Django's session is where these settings keep sessions",
    meaning:
      'Looks for it where `SESSION_ENGINE`, `DATABASE_URL` and `CACHES` say; if it is not there, also in the other tables, in files and in the cache that can be reached, to name the right engine. Another database, or a copy of it, is the usual reason when it is nowhere.',
    remedy:
      'Set `DATABASE_URL` (or `SESSION_DATABASE_URL`), `SESSION_ENGINE`, `SESSION_DB_TABLE`, `SESSION_FILE_PATH` and `CACHES` as in settings.py.',
  }),
  step(STEP.reading, {
    title: "Django's session can be read here",
    meaning:
      'Verifies its signature and reads its content. If it fails, other versions, serializers and the default store class are tried, to name the setting.',
    remedy:
      'Set `DJANGO_SECRET_KEY`, `DJANGO_VERSION`, `SESSION_SERIALIZER` or `SESSION_STORE_CLASS` as the message says.',
  }),
  step(STEP.end, {
    title: 'both sides read the end of the session alike',
    meaning:
      "Compares `expire_date`, read by these settings, with the Max-Age of Django's cookie. With another time zone, sessions end hours too early or too late.",
    remedy: 'Set `USE_TZ`, `TIME_ZONE` and `DATABASE_TIME_ZONE` as in settings.py, and compare the clocks.',
  }),
  step(STEP.age, {
    title: "SESSION_COOKIE_AGE is Django's",
    meaning: "Compares it with the Max-Age of Django's cookie.",
    remedy: 'Set `SESSION_COOKIE_AGE` as in settings.py.',
  }),
  step(STEP.here, {
    title: 'this service answers with the same cookie',
    meaning:
      'Asks the running service (`--here`, by default `HOST` and `PORT`) for `/catalog/`. If none runs, or it has no page that writes the session of every visitor, the same is done in this process through the library.',
    remedy: 'See the log of the service.',
  }),
  step(STEP.keptHere, {
    title: 'this service keeps the cookie',
    meaning:
      'The answer must have the cookie with the same value, and no second one beside it. A new value means that the service did not find or could not read the session.',
    remedy:
      'Restart the service with these settings. For two cookies, set `SESSION_COOKIE_DOMAIN` and `SESSION_COOKIE_PATH` as in settings.py. If the cookie is missing, let the proxy in front pass `Set-Cookie`.',
  }),
  step(STEP.savedHere, {
    title: 'this service saw and saved the session of Django',
    meaning: 'Reads the session again: the number of visits must have risen by one.',
    remedy: 'See the log of the service.',
  }),
  step(STEP.keptThere, {
    title: 'Django keeps the cookie, too',
    meaning:
      'Visits the first page again with the same cookie. Django must neither fail, nor delete it, nor begin anew.',
    remedy: 'Set `DJANGO_VERSION`, `USE_TZ`, `TIME_ZONE` and `SESSION_COOKIE_AGE` as in settings.py.',
  }),
  step(STEP.seenThere, {
    title: 'Django sees what was written here',
    meaning:
      'Reads the session once more. On a page that counts visits, both sides must have counted one visitor. Elsewhere a message in the session must have been shown. Django writes over it with an older copy if it uses `cached_db` and this service does not, and begins anew if it cannot verify what was written here.',
    remedy:
      'Set `SESSION_ENGINE`, `CACHES` and `DJANGO_SECRET_KEY` as in settings.py. `DJANGO_SECRET_KEY` must be the key with which Django signs; older keys belong to `DJANGO_SECRET_KEY_FALLBACKS`.',
  }),
  step(STEP.copies, {
    title: "Django's copies of sessions are in the cache of CACHES",
    meaning:
      'With `cached_db` on this side, looks for the copy that Django made. This service removes copies when it saves; those in another cache would stay, and Django would serve them.',
    remedy: 'Set `CACHES` (or `SESSION_ENGINE`) as in settings.py.',
  }),
]

/** A step comes after each earlier one: what fails first explains the others. */
function step(id: CheckId, texts: Pick<Check, 'title' | 'meaning' | 'remedy'>): Check {
  const ids: readonly CheckId[] = Object.values(STEP)
  const after = ids.slice(0, ids.indexOf(id)).filter((one) => one.includes('.E'))
  return {
    id,
    ...texts,
    ...(after.length > 0 && { after }),
    isCheap: false,
    async run(evidence) {
      const results = await takeRoundTrip(evidence)
      if (results === null) return { outcome: 'skipped', because: '--round-trip was not given' }
      return results.get(id) ?? { outcome: 'skipped', because: 'an earlier step failed' }
    },
  }
}
