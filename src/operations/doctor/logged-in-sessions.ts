import { HASH_SESSION_KEY, SESSION_KEY } from '../../auth/hash-proofs.ts'
import { passwordIn } from '../../auth/user.ts'
import { userId } from '../../auth/user-id.ts'
import { type UserModel, userModel } from '../../auth/user-model.ts'
import { createUserRows, type UserRow } from '../../auth/user-rows.ts'
import { type AuthHashes, createAuthHashes } from '../../django/auth-hash.ts'
import { parseValue } from '../../django/json.ts'
import { UnreadableSession } from '../../django/session-data.ts'
import { versionProfile } from '../../django/versions.ts'
import { databaseKindOf } from '../../sql/dialect.ts'
import type { Project } from '../open-project.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import { settingsFor, type UsersHere, usersCheck } from './user-tables.ts'

/** What Django's login wrote into a session. */
interface LoggedIn {
  readonly id: unknown
  readonly backend: string
  /** '' where the user model makes none. */
  readonly hash: unknown
}

/** How many of the newest live sessions are read, and how long their texts may be. */
const NEWEST = 100
const LONGEST = 64 * 1024

/** How many users are looked up. */
const MOST_USERS = 10

/**
 * The newest readable sessions that Django logged in. This service's own say nothing about Django's rules; the order of the
 * keys tells them apart (auth/hash-proofs.ts). Null for an engine without a table.
 */
const readLoggedIn = perRun(async ({ project }: Evidence): Promise<readonly LoggedIn[] | null> => {
  const { table, sessionDb, dates, now, codec } = project
  if (table === null) return null
  const texts: string[] = await project.onSessionDatabase(() =>
    sessionDb(table)
      .where('expire_date', '>', dates.toColumn(now()))
      .where(sessionDb.raw('length(session_data)'), '<=', LONGEST)
      .orderBy('expire_date', 'desc')
      .limit(NEWEST)
      .pluck('session_data'),
  )
  return texts.flatMap((text) => {
    try {
      const { data } = codec.decode(text)
      const first = [...data.keys()].find((key) => key === SESSION_KEY || key === HASH_SESSION_KEY)
      if (first !== SESSION_KEY) return []
      const value = (key: string) => parseValue(data.get(key) ?? 'null')
      return [
        {
          id: value(SESSION_KEY),
          backend: String(value('_auth_user_backend')),
          hash: value(HASH_SESSION_KEY),
        },
      ]
    } catch (error) {
      if (error instanceof UnreadableSession) return []
      throw error
    }
  })
})

/** Ids of the users of these sessions, as the user table has them. */
function userIdsIn(sessions: readonly LoggedIn[], { idType }: UserModel): string[] {
  return distinct(sessions.flatMap(({ id }) => userId(id, idType) ?? []))
}

/** The first users of these sessions. */
const readOwners = perRun(async (evidence: Evidence): Promise<readonly UserRow[]> => {
  const { project } = evidence
  const { db, dates, settings } = project
  const model = userModel(settings.auth.userModel)
  const ids = userIdsIn((await readLoggedIn(evidence)) ?? [], model)
  const rows = createUserRows({ db, database: databaseKindOf(db), dates, model })
  const found: UserRow[] = []
  for (const id of ids.slice(0, MOST_USERS)) {
    const row = await project.onUserDatabase(() => rows.findById(id))
    if (row !== null) found.push(row)
  }
  return found
})

/** A check of the sessions that Django logged in, which is skipped where there are none. */
function loggedInCheck(
  judge: (sessions: readonly LoggedIn[], users: UsersHere, evidence: Evidence) => Promise<Result>,
  options: { always?: boolean } = {},
): Check['run'] {
  return usersCheck(async (users, evidence) => {
    const sessions = await readLoggedIn(evidence)
    if (sessions === null) return { outcome: 'skipped', because: 'this engine keeps no table' }
    if (sessions.length === 0)
      return {
        outcome: 'skipped',
        because: `Django has logged no user in, as far as the ${NEWEST} newest sessions can be read`,
      }
    return judge(sessions, users, evidence)
  }, options)
}

const AFTER = ['database.E001', 'database.E002', 'database.E003', 'users.E001', 'users.E002'] as const

/** Whether the sessions of users who logged in at Django are theirs here, too. */
export const LOGGED_IN_CHECKS: readonly Check[] = [
  {
    id: 'users.E003',
    title: 'the user ids of sessions fit the user table',
    meaning:
      'Compares `_auth_user_id` of sessions that Django logged in with `AUTH_USER_ID_TYPE` and with the table. When they do not fit, every visitor is anonymous here, or another user.',
    remedy: 'Set `AUTH_USER_ID_TYPE` and `AUTH_USER_MODEL` as in settings.py.',
    after: AFTER,
    isCheap: true,
    run: loggedInCheck(async (sessions, { model, others }, evidence) => {
      const { project } = evidence
      const ids = userIdsIn(sessions, model)
      if (ids.length === 0) {
        const type = (['integer', 'uuid', 'text'] as const).find((one) =>
          sessions.every(({ id }) => userId(id, one) !== null),
        )
        return {
          outcome: 'failed',
          read: `no user id in ${sessions.length} sessions is of the type ${model.idType}`,
          hint: `set AUTH_USER_ID_TYPE${type === undefined ? '' : `=${type}`}, to the type of the user model's primary key`,
        }
      }
      const rows = await readOwners(evidence)
      const read = `${rows.length} of ${Math.min(ids.length, MOST_USERS)} users found in ${model.table}`
      const [owner] = rows.length > 0 ? [] : await tablesWithIds(project, model, { tables: others, ids })
      if (owner === undefined) return { outcome: 'ok', read }
      return {
        outcome: 'failed',
        read: `${read}, but in ${owner}`,
        hint: await settingsFor(project.db, owner),
      }
    }),
  },
  {
    id: 'users.E004',
    title: 'a backend of AUTHENTICATION_BACKENDS logged users in',
    meaning:
      'Compares `_auth_user_backend` of sessions that Django logged in with `AUTHENTICATION_BACKENDS`. As in Django, a session of a backend that is not in that list is anonymous.',
    remedy: 'Set `AUTHENTICATION_BACKENDS` as in settings.py.',
    after: AFTER,
    isCheap: true,
    run: loggedInCheck(async (sessions, _users, { project }) => {
      const { known, unknown, total } = backendsOf(sessions, project)
      if (known > 0) return { outcome: 'ok', read: `${known} of ${total} sessions` }
      return {
        outcome: 'failed',
        read: `all ${total} sessions name ${unknown}`,
        hint: backendHint(project, unknown),
      }
    }),
  },
  {
    id: 'users.W002',
    title: 'no session names another backend',
    meaning:
      'As users.E004, where some sessions name a backend of the list and some do not. If settings.py has the other backend, its users are anonymous here.',
    remedy:
      'Set `AUTHENTICATION_BACKENDS` as in settings.py. If the backend was removed there, its sessions are anonymous in Django, too; silence the check until they have expired.',
    after: [...AFTER, 'users.E004'],
    isCheap: true,
    run: loggedInCheck(async (sessions, _users, { project }) => {
      const { known, unknown, total } = backendsOf(sessions, project)
      if (known === total) return { outcome: 'ok', read: `${total} sessions` }
      return {
        outcome: 'failed',
        read: `${total - known} of ${total} sessions name ${unknown}`,
        hint: backendHint(project, unknown),
      }
    }),
  },
  {
    id: 'users.E005',
    title: 'the hashes of logged-in sessions are made as AUTH_SESSION_HASH says',
    meaning:
      "Makes the `_auth_user_hash` of sessions that Django logged in again, from their users' passwords. When the hashes of several users all differ, the user model makes them in its own way, or the wrong column or table is read: these users are anonymous here. Also fails when `AUTH_SESSION_HASH` switches the comparison off, and it would succeed.",
    remedy: 'Set `AUTH_SESSION_HASH`, `AUTH_USER_PASSWORD_COLUMN` or `AUTH_USER_MODEL` as the message says.',
    after: [...AFTER, 'users.E003', 'users.E004'],
    isCheap: true,
    run: loggedInCheck(
      async (sessions, users, evidence) => {
        const rule = evidence.project.settings.auth.sessionHash
        if (rule !== 'django') return judgeOtherRule(rule, await hashesOf(sessions, users.model, evidence))
        if (users.whyUnread !== null) return { outcome: 'skipped', because: users.whyUnread }
        const { matching, differing } = await hashesOf(sessions, users.model, evidence)
        const others = distinct(differing.map(({ row }) => row.id)).length
        if (matching > 0 || others < 2) return { outcome: 'ok', read: `${matching} sessions match` }
        return {
          outcome: 'failed',
          read: `no session of ${others} users matches`,
          hint: await whyDiffering(differing, users, evidence),
        }
      },
      { always: true },
    ),
  },
  {
    id: 'users.W003',
    title: 'the hash of the only logged-in user matches',
    meaning:
      'As users.E005, where the sessions are of one user. The password of one user may just have been changed: then these sessions have ended in Django, too.',
    remedy: 'As for users.E005. If the password was just changed, there is nothing to do.',
    after: [...AFTER, 'users.E003', 'users.E004', 'users.E005'],
    isCheap: true,
    run: loggedInCheck(async (sessions, users, evidence) => {
      const { matching, differing } = await hashesOf(sessions, users.model, evidence)
      const rule = evidence.project.settings.auth.sessionHash
      if (rule !== 'django' || matching > 0 || differing.length === 0)
        return { outcome: 'ok', read: `${matching} sessions match` }
      const hint = await whyDiffering(differing, users, evidence)
      return { outcome: 'failed', read: 'no session of the one user matches', hint }
    }),
  },
]

function distinct<V>(values: readonly V[]): V[] {
  return [...new Set(values)]
}

/** Those of the tables that have a user with one of these ids. Only for integers: a column of another name would be a guess. */
async function tablesWithIds(
  { db }: Project,
  { idType }: UserModel,
  { tables, ids }: { tables: readonly string[]; ids: readonly string[] },
): Promise<string[]> {
  const found: string[] = []
  if (idType !== 'integer') return found
  for (const table of tables) {
    const row = await db(table)
      .whereIn('id', ids.slice(0, MOST_USERS).map(Number))
      .first('id')
      .catch(() => undefined) // No column `id`, or it is not a number.
    if (row !== undefined) found.push(table)
  }
  return found
}

/** How many sessions name a backend of the list, and the first other one, which is the name of a class and no secret. */
function backendsOf(
  sessions: readonly LoggedIn[],
  { settings }: Project,
): { known: number; unknown: string; total: number } {
  const others = sessions.filter(({ backend }) => !settings.auth.backends.includes(backend))
  const names = distinct(others.map(({ backend }) => backend).filter((one) => /^[\w.]{1,200}$/.test(one)))
  return {
    known: sessions.length - others.length,
    unknown: names.slice(0, 3).join(', '),
    total: sessions.length,
  }
}

function backendHint({ settings }: Project, unknown: string): string {
  return `set AUTHENTICATION_BACKENDS as in settings.py, e.g. ${[...settings.auth.backends, unknown].join(',')}`
}

interface Hashed {
  readonly session: LoggedIn
  readonly row: UserRow
}

/** The sessions of existing users, by whether Django's own rule makes their hash. */
async function hashesOf(
  sessions: readonly LoggedIn[],
  model: UserModel,
  evidence: Evidence,
): Promise<{ matching: number; differing: readonly Hashed[] }> {
  const { project } = evidence
  // With AUTH_SESSION_HASH=custom the columns of the model need not be right.
  const isNeeded = project.settings.auth.sessionHash !== 'custom'
  const found = readOwners(evidence)
  const rows = new Map((await (isNeeded ? found : found.catch(() => []))).map((row) => [row.id, row]))
  const hashes = createAuthHashes(project)
  const known = sessions.flatMap((session): Hashed[] => {
    const row = rows.get(userId(session.id, model.idType) ?? '')
    return row === undefined ? [] : [{ session, row }]
  })
  const differing = known.filter(({ session, row }) => !matches(hashes, passwordIn(row, model), session))
  return { matching: known.length - differing.length, differing }
}

function judgeOtherRule(rule: string, { matching }: { matching: number }): Result {
  if (matching === 0)
    return { outcome: 'ok', read: `AUTH_SESSION_HASH is ${rule}, and no hash is Django's own` }
  return {
    outcome: 'failed',
    read: `AUTH_SESSION_HASH is ${rule}, but the hashes of ${matching} sessions are Django's own`,
    hint: 'remove AUTH_SESSION_HASH: then users are known here, and their sessions end when the password changes, as in Django',
  }
}

function matches(hashes: AuthHashes, password: unknown, { hash }: LoggedIn): boolean {
  const text = password === null || typeof password === 'string' ? password : null
  return hashes.verify(text, hash) !== 'wrong'
}

/** What to set so that these hashes match. */
async function whyDiffering(
  differing: readonly Hashed[],
  { model, others }: UsersHere,
  { project }: Evidence,
): Promise<string> {
  const { secretKeys, profile, db } = project
  if (differing.every(({ session: { hash } }) => hash === '' || hash === null))
    return 'set AUTH_SESSION_HASH=none: the user model makes no hash'
  const hashes = createAuthHashes(project)
  for (const column of distinct(differing.flatMap(({ row }) => Object.keys(row.columns))))
    if (differing.some(({ session, row }) => matches(hashes, row.columns[column] ?? '', session)))
      return `set AUTH_USER_PASSWORD_COLUMN=${column}: the hashes are made of this column`
  for (const version of ['2.2', '6.1']) {
    const other = createAuthHashes({ secretKeys, profile: versionProfile(version) })
    if (differing.some(({ session, row }) => matches(other, passwordIn(row, model), session)))
      return `set DJANGO_VERSION: the hashes are made by the rules of Django ${version}, and not of ${profile.version}`
  }
  for (const table of await tablesWithIds(project, model, {
    tables: others,
    ids: differing.map(({ row }) => row.id),
  }))
    for (const { session } of differing) {
      const row = await db(table)
        .where('id', Number(session.id))
        .first('password')
        .catch(() => undefined)
      if (row !== undefined && matches(hashes, row.password, session)) return settingsFor(db, table)
    }
  return "set AUTH_SESSION_HASH=custom if the user model has a get_session_auth_hash of its own; if these users' passwords were just changed, nothing is wrong"
}
