import { readFileSync } from 'node:fs'
import test from 'ava'
import type { Auth } from '../../../src/auth/auth.ts'
import { createAuthHashes } from '../../../src/django/auth-hash.ts'
import { type PythonValue, parseValue, stringifyValue } from '../../../src/django/json.ts'
import { createSessionCodec, UnreadableSession } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { addUser, authOf, hashed, MODEL_BACKEND, withUser } from '../../auth/users.ts'
import { type DbUnderTest, openDb, secretKey } from '../../engines/db-under-test.ts'
import { fileScope, type Scope } from '../../support/file-scope.ts'
import { type Answer, type Handler, keyIn, serve } from './session-site.ts'

/** One request to real Django, or a look at a row after it, as measured (test/measured/auth-….json). */
interface Measured {
  name: string
  status?: string
  body?: string
  cookie?: 'none set' | 'same key' | 'new key' | 'deleted'
  oldRow?: 'kept' | 'gone' | null
  /** Of the key that the browser holds afterwards. */
  newRow?: Data | null
  rowCountDelta?: number
  /** What a site that knows the new key alone reads. */
  row?: Data
}

type Data = Record<string, PythonValue>

const NEW_KEY = 'the key that comes'
const OLD_KEY = secretKey
const PASSWORD = 'correct horse'

/** Where we differ on purpose; all else is exactly Django's. */
const UNLIKE_DJANGO: Readonly<Record<string, Partial<Measured>>> = {
  // No user can have such a key: the visitor is nobody. Django fails at every page that asks who it is.
  "_auth_user_id '1.0'": { status: '200 OK', body: 'null' },
  "_auth_user_id 'abc'": { status: '200 OK', body: 'null' },
}

interface Site {
  readonly db: DbUnderTest
  /** By their secret keys: each is one process of ours. */
  readonly auths: Map<string, Auth>
  /** What the next case's browser sends. */
  sessionKey: string | undefined
  /** Another session of the same user. */
  otherKey: string | undefined
  ids: { ann: number; bob: number }
}

type Operation = 'whoami' | 'ann' | 'bob' | 'logout' | 'change' | 'change and update'

type Step = (site: Site) => Promise<void>

/** What each case does, in the order of the measurement: from the session that the case before left. */
interface Case {
  readonly operation?: Operation
  readonly before?: Step
  readonly secretKeys?: readonly [string, ...string[]]
}

const forget: Step = async (site) => {
  site.sessionKey = undefined
}

const begin =
  (data: Data): Step =>
  async (site) => {
    site.sessionKey = await store(site, data)
  }

/** Another program's row: logged in as ann, but for these changes; undefined for a key that is missing. */
const foreign =
  (changes: Record<string, PythonValue | undefined>): Step =>
  async (site) => {
    const data = { ...(await loggedIn(site)), ...changes }
    site.sessionKey = await store(
      site,
      Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined)) as Data,
    )
  }

const CASES: Readonly<Record<string, Case>> = {
  'anonymous session logs in (data kept, key cycled)': { operation: 'ann', before: begin({ cart: [1] }) },
  whoami: {},
  'same user logs in again': { operation: 'ann' },
  "other user logs in on ann's session (flush)": { operation: 'bob' },
  logout: { operation: 'logout' },
  'whoami with the old cookie after logout': {
    before: async (site) => {
      site.sessionKey = 'abcdefgh0123456789abcdefgh012345'
    },
  },
  'login without any cookie': { operation: 'ann', before: forget },
  'row written by a foreign writer': { before: foreign({}) },
  '_auth_user_id is a JSON number': { before: foreign({ _auth_user_id: 1 }) },
  "_auth_user_id '1.0'": { before: foreign({ _auth_user_id: '1.0' }) },
  "_auth_user_id 'abc'": { before: foreign({ _auth_user_id: 'abc' }) },
  'unknown user id': { before: foreign({ _auth_user_id: '999' }) },
  'backend not in AUTHENTICATION_BACKENDS': { before: foreign({ _auth_user_backend: 'my.Other' }) },
  'hash missing': { before: foreign({ _auth_user_hash: undefined }) },
  'hash empty': { before: foreign({ _auth_user_hash: '' }) },
  'hash wrong': { before: foreign({ _auth_user_hash: '0'.repeat(64) }) },
  'hash in upper case': {
    before: async (site) => {
      const { _auth_user_hash: hash } = await loggedIn(site)
      await foreign({ _auth_user_hash: String(hash).toUpperCase() })(site)
    },
  },
  'backend missing': { before: foreign({ _auth_user_backend: undefined }) },
  'user inactive': {
    before: async (site) => {
      await foreign({})(site)
      await update(site, { is_active: 0 })
    },
  },
  'password change + update_session_auth_hash': {
    operation: 'change and update',
    before: async (site) => {
      await update(site, { is_active: 1 })
      await foreign({})(site)
      site.otherKey = site.sessionKey
      await foreign({})(site)
    },
  },
  'that session': {},
  'another session of the same user': {
    before: async (site) => {
      site.sessionKey = site.otherKey
    },
  },
  'password change without update_session_auth_hash': { operation: 'change', before: foreign({}) },
  'next request of that session': {},
  'SECRET_KEY rotated, no fallbacks': { before: foreign({ cart: [1] }), secretKeys: [NEW_KEY] },
  'SECRET_KEY rotated with SECRET_KEY_FALLBACKS: request 1': {
    before: foreign({ cart: [1] }),
    secretKeys: [NEW_KEY, OLD_KEY],
  },
  'after request 1, decoded with the new key only': { secretKeys: [NEW_KEY] },
  'request 2 without fallbacks': { secretKeys: [NEW_KEY] },
  'anonymous session, rotated with fallbacks, only read: row not re-signed': {
    before: begin({ plain: 1 }),
    secretKeys: [NEW_KEY, OLD_KEY],
  },
  'decoded with the new key only': { secretKeys: [NEW_KEY] },
}

const file = fileScope(test)

for (const version of ['2.2', '3.2', '4.2', '5.2', '6.1']) {
  let opened: Promise<Site> | undefined
  /** The measured site's hashes by ours: its passwords and keys were others. */
  const hashes = new Map<unknown, unknown>()
  const withOurHash = (row: Data | null | undefined, ours: Data | null): Data | null => {
    if (row === null || row === undefined || row._auth_user_hash === undefined) return row ?? null
    if (!hashes.has(row._auth_user_hash)) hashes.set(row._auth_user_hash, ours?._auth_user_hash)
    return { ...row, _auth_user_hash: hashes.get(row._auth_user_hash) as string }
  }

  for (const measured of readTable(version)) {
    test.serial(`as Django ${version}: ${measured.name}`, async (t) => {
      opened ??= openSite(file, version)
      const site = await opened
      const scenario = CASES[measured.name]
      if (scenario === undefined) return t.fail('there is no such case')
      await scenario.before?.(site)
      const secretKeys = scenario.secretKeys ?? ([OLD_KEY] as const)
      if (measured.row !== undefined) {
        const row = await rowOf(site, site.sessionKey, [NEW_KEY])
        t.deepEqual(row, withOurHash(measured.row, row))
        return
      }
      const expected = { ...measured, ...UNLIKE_DJANGO[measured.name] }
      const sent = site.sessionKey
      const before = await site.db.rows()
      const answer = await ask(t, site, { operation: scenario.operation ?? 'whoami', secretKeys })
      const after = await site.db.rows()

      t.is(answer.status, Number.parseInt(String(expected.status), 10))
      t.deepEqual(JSON.parse(answer.body), JSON.parse(String(expected.body)))
      t.is(cookieOf(answer, sent), expected.cookie)
      const has = (rows: typeof before) => rows.some(({ session_key }) => session_key === sent)
      t.is(has(before) ? (has(after) ? 'kept' : 'gone') : null, expected.oldRow ?? null)
      t.is(after.length - before.length, expected.rowCountDelta ?? 0)
      const key = keyIn(answer) ?? sent
      const row = await rowOf(site, key, secretKeys)
      t.deepEqual(row, withOurHash(expected.newRow, row))
      site.sessionKey = key
    })
  }

  test.serial(`Django ${version}'s measured hashes and ours are the same in number`, (t) => {
    t.true(hashes.size >= 3)
    t.is(new Set(hashes.values()).size, hashes.size)
  })
}

async function openSite(scope: Scope, version: string): Promise<Site> {
  const db = await openDb(scope, 'sqlite', { djangoVersion: version, tables: 'library' })
  const ids = {
    ann: await addUser(db, { username: 'ann', password: hashed(PASSWORD) }),
    bob: await addUser(db, { username: 'bob', password: hashed(PASSWORD) }),
  }
  return { db, auths: new Map(), sessionKey: undefined, otherKey: undefined, ids }
}

async function ask(
  t: Scope,
  { db, auths, ids, sessionKey }: Site,
  { operation, secretKeys }: { operation: Operation; secretKeys: readonly [string, ...string[]] },
): Promise<Answer> {
  const auth = auths.get(secretKeys.join()) ?? authOf(db, { secretKeys })
  auths.set(secretKeys.join(), auth)
  const login =
    (name: 'ann' | 'bob'): Handler =>
    async (ctx) => {
      const user = await auth.authenticate({ username: name, password: PASSWORD })
      if (user !== null) await ctx.login(user)
      return null
    }
  const change = () =>
    db
      .db('auth_user')
      .where('id', ids.ann)
      .update({ password: hashed('another') })
  const operations: Record<Operation, Handler> = {
    async whoami(ctx) {
      const user = await ctx.user()
      return user.isAuthenticated ? user.getUsername() : null
    },
    ann: login('ann'),
    bob: login('bob'),
    logout: async (ctx) => void (await ctx.logout()),
    change: async (ctx) => {
      await ctx.user()
      await change()
    },
    async 'change and update'(ctx) {
      const user = await ctx.user()
      await change()
      if (user.isAuthenticated) await auth.updateSessionAuthHash(await ctx.session.load(), user)
    },
  }
  const request = await serve(t, db, withUser(auth, operations[operation]), { settings: { secretKeys } })
  return request(sessionKey === undefined ? undefined : `sessionid=${sessionKey}`)
}

/** What a session holds in which ann is logged in. */
async function loggedIn({ db, ids }: Site): Promise<Data> {
  const { password } = await db.db('auth_user').where('id', ids.ann).first('password')
  const hashes = createAuthHashes({ secretKeys: [OLD_KEY], profile: versionProfile(db.djangoVersion) })
  return {
    _auth_user_id: String(ids.ann),
    _auth_user_backend: MODEL_BACKEND,
    _auth_user_hash: hashes.create(password),
  }
}

let stored = 0

async function store({ db }: Site, values: Data): Promise<string> {
  stored += 1
  const key = `abcdefghijklmnop${String(stored).padStart(16, '0')}`
  const data = new Map(Object.entries(values).map(([name, value]) => [name, stringifyValue(value)]))
  await db.engine.create(key, { data, expireDate: new Date('2999-01-01T00:00:00Z') })
  return key
}

async function update({ db, ids }: Site, values: object): Promise<void> {
  await db.db('auth_user').where('id', ids.ann).update(values)
}

function cookieOf(answer: Answer, sent: string | undefined): Measured['cookie'] {
  const key = keyIn(answer)
  if (key === undefined) return 'none set'
  if (key === '') return 'deleted'
  return key === sent ? 'same key' : 'new key'
}

/** As Django reads it: a row that does not verify is empty. */
async function rowOf(
  { db }: Site,
  key: string | undefined,
  secretKeys: readonly [string, ...string[]],
): Promise<Data | null> {
  const row = (await db.rows()).find(({ session_key }) => session_key === key)
  if (row === undefined) return null
  const profile = versionProfile(db.djangoVersion)
  const codec = createSessionCodec({ secretKeys, profile, now: () => new Date() })
  try {
    const { data } = codec.decode(row.session_data)
    return Object.fromEntries([...data].map(([name, text]) => [name, parseValue(text)]))
  } catch (error) {
    if (error instanceof UnreadableSession) return {}
    throw error
  }
}

function readTable(version: string): Measured[] {
  return JSON.parse(readFileSync(new URL(`../../measured/auth-${version}.json`, import.meta.url), 'utf8'))
}
