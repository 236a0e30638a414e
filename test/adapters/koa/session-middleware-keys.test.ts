import { readdirSync, readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { createSigner, dumps, saltedHmac } from '../../../src/django/signing.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { type DbUnderTest, openDb, secretKey } from '../../engines/db-under-test.ts'
import { type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { fileScope } from '../../support/file-scope.ts'
import { type Answer, keyIn, operations, serve } from './session-site.ts'

/** Hostile keys and foreign rows, sent to real Django: test/measured/keys-….json. */
type Measured = Readonly<Record<string, Partial<MeasuredCase>>>

interface MeasuredCase extends Record<Operation, string> {
  loaded: Record<string, string>
  setCookie: string[]
  readBody: string | null
}

const OPERATIONS = ['read', 'set', 'exp300', 'noop', 'flush'] as const
type Operation = (typeof OPERATIONS)[number]

const measured = new URL('../../measured/', import.meta.url)
const file = fileScope(test)
const KEY = 'abcdefgh0123456789abcdefgh012345'

const SPELLINGS: Readonly<Record<string, string>> = {
  exact: KEY,
  UPPER: KEY.toUpperCase(),
  'trailing space': `${KEY} `,
  accented: `á${KEY.slice(1)}`,
  'full-width a': `ａ${KEY.slice(1)}`,
  'zero width joiner inside': `${KEY.slice(0, 8)}\u200d${KEY.slice(8)}`,
}

/** Cookie headers as Node takes them: a character per byte. */
const HOSTILE: Readonly<Record<string, string>> = {
  'http: NUL (octal escape)': 'sessionid="\\000bcdefgh12345678"',
  'http: astral char': `sessionid=${Buffer.from('😀'.repeat(10)).toString('latin1')}`,
  'http: invalid utf8': 'sessionid=\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6',
  'http: lone surrogate utf8': `sessionid=${'\xed\xa0\x80'.repeat(10)}`,
  'http: key of 300 chars': `sessionid=${'a'.repeat(300)}`,
  'http: percent': 'sessionid=%25%00%s%d%(x)s%%',
  'http: quote injection': `sessionid=x'); DELETE FROM django_session; --`,
}

/** What the row holds; JSON is signed as the site's Django does. */
const FOREIGN: Readonly<Record<string, { json: string } | { text: string }>> = {
  'foreign: top-level list': { json: '[1]' },
  'foreign: top-level null': { json: 'null' },
  'foreign: top-level string': { json: '"x"' },
  'foreign: top-level number': { json: '5' },
  "foreign: _session_expiry '300'": { json: '{"_session_expiry":"300"}' },
  'foreign: _session_expiry ISO Z': { json: '{"_session_expiry":"2035-11-28T22:13:20Z"}' },
  'foreign: _session_expiry naive ISO': { json: '{"_session_expiry":"2035-11-28T22:13:20"}' },
  'foreign: _session_expiry epoch ms': { json: '{"_session_expiry":2079900800000}' },
  'foreign: _session_expiry null': { json: '{"_session_expiry":null}' },
  'foreign: _session_expiry true': { json: '{"_session_expiry":true}' },
  'foreign: num_visits is a string': { json: '{"num_visits":"1"}' },
  'foreign: empty string data': { text: '' },
  'foreign: plain JSON': { text: '{"num_visits":1}' },
  'foreign: garbage': { text: 'garbage' },
  'foreign: non-ascii': { text: '한글' },
}

/** Django takes these for empty and writes over them, or fails. */
const UNREADABLE = /top-level|empty string|plain JSON|garbage|non-ascii/

for (const [version, kind, useTz] of sites()) {
  for (const name of databasesOf(kind)) {
    const site = { djangoVersion: version, useTz, timeZone: useTz ? 'UTC' : 'Asia/Seoul' }
    const table = readTable(version, kind, useTz)
    const where = `as Django ${version} with USE_TZ=${useTz}, on ${name}`
    const check = (behaviour: string, body: (t: ExecutionContext, db: DbUnderTest) => Promise<void>) =>
      test.serial(`${where}: ${behaviour}`, async (t) => {
        const db = await opened(name, site)
        db.clock.now = new Date('2026-11-23T08:25:12.345Z')
        await db.empty()
        await body(t, db)
      })

    check('every measured case is tried', async (t) => {
      t.deepEqual(Object.keys(table), [
        ...Object.keys(SPELLINGS),
        ...Object.keys(HOSTILE),
        ...Object.keys(FOREIGN),
      ])
    })

    // Unlike Django, which finds the row of `abc…` for `ABC…` under MySQL's collations, and then holds that spelling.
    check('a key finds the row of its own spelling only', async (t, db) => {
      const data = new Map([['owner', `"${KEY}"`]])
      await db.engine.create(KEY, { data, expireDate: new Date('2026-12-01T00:00:00Z') })
      for (const [spelling, key] of Object.entries(SPELLINGS)) {
        const found = await db.engine.load(key)
        const expected = kind === 'mysql' && spelling !== 'exact' ? { loaded: {} } : table[spelling]
        t.deepEqual(Object.fromEntries(found?.data ?? []), texts(expected?.loaded ?? {}), spelling)
      }
      t.is((await db.rows()).length, 1)
    })

    check('a hostile key is an unknown one', async (t, db) => {
      const request = await serve(t, db, operations(db).read ?? fail)
      for (const [title, cookie] of Object.entries(HOSTILE)) {
        const answer = await request(cookie)
        t.is(answer.status, 200, title)
        const [expected] = table[title]?.setCookie ?? []
        // Unlike Django, for which a NUL is a 500 on PostgreSQL.
        if (expected !== undefined) {
          const text = answer.setCookie[0]?.replace(/expires=[^;]*/, 'expires=..')
          t.is(text, expected.trim(), title)
        }
        t.is(keyIn(answer), '', title)
      }
      t.is((await db.rows()).length, 0)
    })

    check('a row that another program wrote is read as Django reads it, or left as it is', async (t, db) => {
      for (const [title, content] of Object.entries(FOREIGN)) {
        for (const op of OPERATIONS) {
          await db.empty()
          const session_data = 'json' in content ? sealed(db, content.json) : content.text
          const expire_date = db.dates.toColumn(new Date('2026-12-01T00:00:00Z'))
          await db.insert({ session_key: KEY, session_data, expire_date })
          const before = await db.rows()
          const request = await serve(t, db, operations(db)[op] ?? fail)
          const answer = await request(`sessionid=${KEY}`)
          const after = (await db.rows()).filter(({ session_key }) => session_key === KEY)
          const what = `${title}, ${op}`
          t.is(summary(answer), expectedAnswer(title, op, table), what)
          const isKept = UNREADABLE.test(title) || op === 'read' || op === 'noop' || answer.status >= 500
          if (isKept) t.deepEqual(after, before, what)
          if (op === 'read' && table[title]?.read === '200')
            t.is(answer.body, table[title]?.readBody ?? 'null', what)
        }
      }
    })
  }
}

function expectedAnswer(title: string, op: Operation, table: Measured): string {
  // Unlike Django, which fails on these or writes over them.
  if (UNREADABLE.test(title) && (op === 'set' || op === 'exp300')) return '200 sets new key'
  if (UNREADABLE.test(title) && op === 'read') return '200'
  // What a view does with a text for a number is its own affair: Python's fails, this one counts on.
  if (title === 'foreign: num_visits is a string' && op === 'set') return '200 sets same key'
  return table[title]?.[op] ?? 'not measured'
}

/** In the words of test/measured. */
function summary(answer: Answer): string {
  const key = keyIn(answer)
  if (key === undefined) return String(answer.status)
  const what = key === '' ? 'deletion' : key === KEY ? 'same key' : 'new key'
  return `${answer.status} sets ${what}`
}

/** Any JSON as a row of this site, which our codec would refuse to write. */
function sealed({ djangoVersion, clock }: DbUnderTest, json: string): string {
  if (versionProfile(djangoVersion).writes === 'signed') {
    const salt = 'django.contrib.sessions.SessionStore'
    return dumps(createSigner({ secretKeys: [secretKey], salt }), json, {
      compress: true,
      now: () => clock.now,
    })
  }
  const hash = saltedHmac('django.contrib.sessionsSessionStore', secretKey, 'sha1')()
    .update(json)
    .digest('hex')
  return Buffer.from(`${hash}:${json}`).toString('base64')
}

function fail(): never {
  throw new Error('there is no such operation')
}

function texts(loaded: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(Object(loaded)).map(([key, value]) => [key, JSON.stringify(value)]),
  )
}

/** The sites that were measured: `keys-5.2-mysql-naive.json`. */
function sites(): [version: string, kind: string, useTz: boolean][] {
  return readdirSync(measured)
    .map((name) => /^keys-([\d.]+)-(\w+?)(-naive)?\.json$/.exec(name))
    .filter((match) => match !== null)
    .map(([, version = '', kind = '', naive]) => [version, kind, naive === undefined])
}

function readTable(version: string, kind: string, useTz: boolean): Measured {
  const name = `keys-${version}-${kind}${useTz ? '' : '-naive'}.json`
  return JSON.parse(readFileSync(new URL(name, measured), 'utf8'))
}

function databasesOf(kind: string): TestDatabaseName[] {
  const names = { mysql: ['mariadb', 'mysql'], pg: ['postgresql'], sqlite: ['sqlite'] }[kind]
  return testDatabases.filter((name) => names?.includes(name))
}

const databases = new Map<string, Promise<DbUnderTest>>()

function opened(
  name: TestDatabaseName,
  site: { djangoVersion: string; useTz: boolean },
): Promise<DbUnderTest> {
  const id = `${name} ${JSON.stringify(site)}`
  const db = databases.get(id) ?? openDb(file, name, site)
  databases.set(id, db)
  return db
}
