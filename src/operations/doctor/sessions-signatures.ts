import { userId } from '../../auth/user-id.ts'
import { userModel } from '../../auth/user-model.ts'
import { createUserRows } from '../../auth/user-rows.ts'
import { createAuthHashes } from '../../django/auth-hash.ts'
import { readIsoDate } from '../../django/datetime.ts'
import { parseObject, parseValue } from '../../django/json.ts'
import { unverifiedContent } from '../../django/session-diagnosis.ts'
import type { SerializerName } from '../../django/session-serializers.ts'
import { type SessionFormat, versionFromMigrations, versionProfile } from '../../django/versions.ts'
import { dialects } from '../../sql/dialect.ts'
import type { Project } from '../open-project.ts'
import { type Evidence, perRun, type Result } from './check.ts'
import { newestSessions, type SessionRow, sessionsText, timeText, whyNoEvidence } from './sessions-rows.ts'

/** What is wrong, with what was found and what to do. */
export interface Cause {
  readonly is: 'key' | 'rotated' | 'store-class' | 'version' | 'serializer'
  readonly read: string
  readonly hint: string
}

export interface Verdict {
  readonly cause: Cause | null
  /** Set if nothing can be said. */
  readonly because: string | null
  /** What was read, if all is well. */
  readonly read: string
}

/** The newest rows of Django that are looked at. */
const NEWEST = 20

/** What the newest row of Django shows: the present state of that site, where older rows show former ones. */
export const verdictOn: (evidence: Evidence) => Promise<Verdict> = perRun(async (evidence) => {
  const { project } = evidence
  const rows = await newestSessions(evidence)
  const none = whyNoEvidence(project, rows)
  if (none !== null) return nothing(none)
  const known = rows.django.filter(({ diagnosis }) => diagnosis !== null && diagnosis.shape !== 'cut')
  const current = await withoutLeftovers(project, known)
  const [newest] = current
  if (newest === undefined)
    return nothing(
      known.length === 0
        ? 'each row that was read is cut off or too large'
        : `the newest sessions are in the format of Django before 3.1, as after an upgrade; visit a page of the Django site, and run the doctor again`,
    )
  const looked = current.slice(0, NEWEST)
  const cause = await causeOf(newest, looked, project)
  const read = looked.filter(({ diagnosis }) => diagnosis?.reason === null).length
  const kept = known.length - current.length
  const leftover = kept === 0 ? '' : `; ${sessionsText(kept)} of a former Django version are left`
  return {
    cause,
    because: null,
    read: `${read} of the ${looked.length} newest sessions of Django can be read${leftover}`,
  }
})

function nothing(because: string): Verdict {
  return { cause: null, because, read: '' }
}

async function causeOf(
  newest: SessionRow,
  looked: readonly SessionRow[],
  project: Project,
): Promise<Cause | null> {
  const { shape, reason, explanation, decoded } = newest.diagnosis ?? {}
  const { profile } = project
  const format = decoded?.format ?? (shape === 'legacy' || shape === 'signed' ? shape : null)
  if (explanation?.keySpelling != null) return misspelt(explanation.keySpelling)
  if (format !== null && format !== profile.writes) return await otherVersion(format, project)
  if (reason === null || reason === undefined) return null
  if (explanation?.differs.includes('SESSION_STORE_CLASS') === true)
    return otherClass(explanation.storeClass, project)
  if (explanation?.differs.includes('SESSION_SERIALIZER') === true)
    return otherSerializer(explanation.serializer)
  if (reason === 'signature' || reason === 'format') return await otherKey(looked, project)
  return {
    is: 'serializer',
    read: `the signature of Django's newest session is right, but its content cannot be read (${reason})`,
    hint: 'set SESSION_SERIALIZER as in settings.py; a serializer of your own is not supported',
  }
}

function misspelt(spelling: string): Cause {
  return {
    is: 'key',
    read: `Django's newest session verifies with another spelling of the key: DJANGO_SECRET_KEY ${spelling}`,
    hint: 'set DJANGO_SECRET_KEY to SECRET_KEY of settings.py to the character, without quotation marks or blanks around it; the quoting of .env files is in docs/settings.md',
  }
}

async function otherKey(looked: readonly SessionRow[], project: Project): Promise<Cause> {
  const verified = looked.filter(({ diagnosis }) => diagnosis?.reason === null)
  if (verified.length === 0 && (await madeAuthHash(looked, project))) return otherClass(null, project)
  const keys = project.secretKeys.length === 1 ? 'the secret key' : `the ${project.secretKeys.length} keys`
  const [lastVerified] = verified
  if (lastVerified === undefined)
    return {
      is: 'key',
      read: `none of the ${looked.length} newest sessions of Django verifies with ${keys}`,
      hint: 'set DJANGO_SECRET_KEY to SECRET_KEY of settings.py, and DJANGO_SECRET_KEY_FALLBACKS to its SECRET_KEY_FALLBACKS',
    }
  const since = lastVerified.savedAt
  const ago = since === null ? '' : `, ${timeText((project.now().getTime() - since.getTime()) / 1000)} ago`
  return {
    is: 'rotated',
    read: `the newest session of Django verifies with none of ${keys}; the last one that does was saved before it${ago}`,
    hint: 'the secret key was changed at the Django site only: set DJANGO_SECRET_KEY to the new SECRET_KEY, and DJANGO_SECRET_KEY_FALLBACKS to a list with the present one',
  }
}

/** A logged-in session holds a hash that SECRET_KEY made of the user's password: it proves the key without the salt of the store. */
const LOGINS = 5

async function madeAuthHash(looked: readonly SessionRow[], project: Project): Promise<boolean> {
  const { settings, secretKeys, profile } = project
  if (settings.auth.sessionHash !== 'django') return false
  const model = userModel(settings.auth.userModel)
  const { password } = model.columns
  if (password === null) return false
  const logins = looked.flatMap(({ text }) => loginIn(text ?? '')).slice(0, LOGINS)
  if (logins.length === 0) return false
  const users = createUserRows({
    db: project.db,
    database: settings.database.kind,
    dates: project.dates,
    model,
  })
  const hashes = createAuthHashes({ secretKeys, profile: { ...profile, usesFallbackAuthHashes: true } })
  for (const { id, hash } of logins) {
    const key = userId(id, model.idType)
    const user = key === null ? null : await users.findById(key)
    const encoded = user?.columns[password]
    if (typeof encoded === 'string' && hashes.verify(encoded, hash) !== 'wrong') return true
  }
  return false
}

/** The user in a text whose signature does not verify: used to look for the right setting, and for nothing else. */
function loginIn(sessionData: string): { id: unknown; hash: string }[] {
  const json = unverifiedContent(sessionData)
  if (json === null) return []
  try {
    const data = parseObject(json)
    const [id, hash] = ['_auth_user_id', '_auth_user_hash'].map((key) => parseValue(data.get(key) ?? 'null'))
    return typeof hash === 'string' ? [{ id, hash }] : []
  } catch {
    return [] // not JSON
  }
}

function otherClass(storeClass: string | null, { settings }: Project): Cause {
  const configured = settings.session.storeClass ?? 'SessionStore'
  if (storeClass !== null)
    return {
      is: 'store-class',
      read: `Django's newest session verifies with the class name ${storeClass}, not ${configured}`,
      hint:
        storeClass === 'SessionStore'
          ? 'leave SESSION_STORE_CLASS empty'
          : `set SESSION_STORE_CLASS=${storeClass}`,
    }
  return {
    is: 'store-class',
    read: `the secret key is right, since it made the _auth_user_hash of a user, but no session verifies with the class name ${configured}`,
    hint: 'set SESSION_STORE_CLASS to the name that the Django site prints for `from importlib import import_module; from django.conf import settings; print(import_module(settings.SESSION_ENGINE).SessionStore.__qualname__)` in `manage.py shell`',
  }
}

function otherSerializer(serializer: SerializerName): Cause {
  const isPickle = serializer === 'pickle'
  return {
    is: 'serializer',
    read: `Django's newest session is ${isPickle ? 'a pickle' : 'JSON'}`,
    hint: isPickle
      ? 'set SESSION_SERIALIZER=django.contrib.sessions.serializers.PickleSerializer'
      : 'leave SESSION_SERIALIZER empty, or set it to django.contrib.sessions.serializers.JSONSerializer',
  }
}

async function otherVersion(format: SessionFormat, project: Project): Promise<Cause> {
  const { version } = project.profile
  const setting = project.settings.profile === null ? `${version}, which is guessed,` : version
  if (format === 'signed') {
    const isTransitional = project.profile.reads.includes('signed')
    return {
      is: 'version',
      read: `Django's newest session is in the format of Django since 3.1; Django ${setting} writes that of 2.2 and 3.0`,
      hint: isTransitional
        ? 'leave DEFAULT_HASHING_ALGORITHM empty, as in settings.py'
        : 'set DJANGO_VERSION to what `python -m django --version` prints at the Django site (3.1 to 6.1)',
    }
  }
  const isOld = (await migratedTo31(project)) === null
  return {
    is: 'version',
    read: `Django's newest session is in the format of Django 2.2 and 3.0; Django ${setting} writes that of 3.1 and later`,
    hint: isOld
      ? 'set DJANGO_VERSION to what `python -m django --version` prints at the Django site (2.2 or 3.0)'
      : 'set DJANGO_VERSION=3.2 (or 3.1) and DEFAULT_HASHING_ALGORITHM=sha1, if they are in settings.py; or DJANGO_VERSION=2.2 (or 3.0), if that is what `python -m django --version` prints there',
  }
}

/**
 * Without the rows that a former version may have left: those in the old format where Django since 3.1 is expected, if the
 * database was migrated to such a version after they were saved, or within the hour before.
 */
async function withoutLeftovers(
  project: Project,
  rows: readonly SessionRow[],
): Promise<readonly SessionRow[]> {
  const isOld = ({ diagnosis }: SessionRow) => diagnosis?.shape === 'legacy'
  if (project.profile.writes === 'legacy' || !rows.some(isOld)) return rows
  const migrated = await migratedTo31(project)
  if (migrated === null) return rows
  return rows.filter(
    (row) => !isOld(row) || (row.savedAt !== null && row.savedAt.getTime() > migrated.getTime() + HOUR),
  )
}

const HOUR = 3_600_000

/**
 * When the site was migrated to Django 3.1 or later, by the dates of the session table: both were written with the same
 * clock. Null if it was not, or nothing shows it.
 */
async function migratedTo31({ db, settings, dates, onUserDatabase }: Project): Promise<Date | null> {
  const applied = db.raw(dialects[settings.database.kind].dateAsText('applied'))
  const rows: { app: string; name: string; applied: string }[] = await onUserDatabase(() =>
    db('django_migrations').select('app', 'name', applied).where('app', 'auth'),
  ).catch(() => []) // Without the table, DJANGO_VERSION alone says what is expected.
  const isSince31 = ({ app, name }: { app: string; name: string }) =>
    versionProfile(versionFromMigrations([{ app, name }])?.version ?? '2.2').writes === 'signed'
  const first = rows.find(isSince31)
  if (first === undefined) return null
  return readIsoDate(String(first.applied)) === null ? null : dates.fromColumn(String(first.applied))
}

/** Whether Django signs with a fallback after this service has begun to sign with the first key. */
export async function signsWithFirstKey(evidence: Evidence): Promise<Result> {
  const { cause, because } = await verdictOn(evidence)
  if (because !== null) return { outcome: 'skipped', because }
  if (cause !== null) return { outcome: 'skipped', because: "Django's newest session cannot be read" }
  const { django, here } = await newestSessions(evidence)
  const keyOf = ({ diagnosis }: SessionRow) => diagnosis?.decoded?.keyIndex
  const newest = django.find((row) => keyOf(row) !== undefined)
  if (newest === undefined || keyOf(newest) === 0)
    return { outcome: 'ok', read: "Django's newest session is signed with DJANGO_SECRET_KEY" }
  const begun = here.findLast((row) => keyOf(row) === 0)?.savedAt ?? null
  if (begun === null || newest.savedAt === null || newest.savedAt <= begun)
    return {
      outcome: 'ok',
      read: "Django's newest session was signed with a fallback, before the rotation here",
    }
  return {
    outcome: 'failed',
    read: `Django signed its newest session with a fallback, ${timeText((newest.savedAt.getTime() - begun.getTime()) / 1000)} after this service had signed with DJANGO_SECRET_KEY`,
    hint: 'set SECRET_KEY of the Django site to DJANGO_SECRET_KEY, and keep the old key in its SECRET_KEY_FALLBACKS; until then, that list must hold DJANGO_SECRET_KEY',
  }
}
