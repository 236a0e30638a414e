import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createSessionTotals, type SessionTotalsOptions } from '../../../src/service/pages/session-totals.ts'
import { openDb, secretKey } from '../../engines/db-under-test.ts'
import { testDatabases } from '../../support/databases.ts'

const HOUR = 3_600_000
const NOW = new Date('2026-03-02T12:00:00Z')

type Options = Partial<Pick<SessionTotalsOptions, 'mostCounted' | 'sampleSize' | 'maxAge' | 'monotonic'>>

async function openTotals(
  t: ExecutionContext,
  database: (typeof testDatabases)[number],
  { fallbacks = [], ...options }: Options & { fallbacks?: readonly string[] } = {},
) {
  const { db, dates } = await openDb(t, database)
  const profile = versionProfile('5.2')
  const codecOf = (secretKeys: readonly [string, ...string[]], now: Date = NOW) =>
    createSessionCodec({ secretKeys, profile, now: () => now })
  const totals = createSessionTotals({
    db,
    table: 'django_session',
    codec: codecOf([secretKey, ...fallbacks]),
    dates,
    cookieAge: 14 * 24 * 3600,
    now: () => NOW,
    ...options,
  })
  let made = 0
  return {
    db,
    totals,
    codecOf,
    async insert(...rows: readonly { session_data: string; expire: Date }[]) {
      const all = rows.map(({ session_data, expire }) => {
        made += 1
        return {
          session_key: `key${made}`.padEnd(32, 'x'),
          session_data,
          expire_date: dates.toColumn(expire),
        }
      })
      for (let at = 0; at < all.length; at += 200) await db('django_session').insert(all.slice(at, at + 200))
    },
  }
}

const inHours = (hours: number) => new Date(NOW.getTime() + hours * HOUR)

for (const database of testDatabases) {
  test(`${database}: rows are counted as live and expired, and the newest are read`, async (t) => {
    const { totals, codecOf, insert } = await openTotals(t, database, { fallbacks: ['old'] })
    const data = new Map([['cart', '[1, 2]']])
    await insert(
      { session_data: codecOf([secretKey], inHours(-3)).encode(data), expire: inHours(400) },
      { session_data: codecOf(['old']).encode(data), expire: inHours(300) },
      { session_data: codecOf(['foreign']).encode(data), expire: inHours(200) },
      { session_data: 'x'.repeat(16_385), expire: inHours(100) },
      { session_data: 'not a session', expire: inHours(-1) },
    )
    const { live, expired, rows, sample } = await totals()
    t.deepEqual(live, { count: 4, isAtLeast: false })
    t.deepEqual(expired, { count: 1, isAtLeast: false })
    t.deepEqual(rows, { count: 5, isExact: true })
    t.is(sample.completeSince, null)
    t.true(sample.isWhole)
    t.deepEqual(
      sample.rows.map(({ reading }) => reading),
      [
        { outcome: 'read', format: 'signed', keyIndex: 0 },
        { outcome: 'read', format: 'signed', keyIndex: 1 },
        { outcome: 'unreadable', reason: 'signature' },
        { outcome: 'unread' },
        { outcome: 'unreadable', reason: 'format' },
      ],
    )
    t.deepEqual(sample.rows[0]?.savedAt, inHours(-3))
    t.is(sample.rows[2]?.savedAt, null)
    t.is(sample.rows[3]?.size, 16_385)
  })

  test(`${database}: counting ends at a limit, and so does reading`, async (t) => {
    const { totals, codecOf, insert } = await openTotals(t, database, { mostCounted: 20, sampleSize: 10 })
    const session_data = codecOf([secretKey]).encode(new Map())
    await insert(...Array.from({ length: 60 }, (_, at) => ({ session_data, expire: inHours(at - 29.5) })))
    const { live, expired, rows, sample } = await totals()
    t.deepEqual(
      [live, expired],
      [
        { count: 20, isAtLeast: true },
        { count: 20, isAtLeast: true },
      ],
    )
    t.true(rows === null || !rows.isExact)
    t.is(sample.rows.length, 10)
    t.false(sample.isWhole)
    // The tenth row expires in 20.5 hours: a session of two weeks with that expiry was saved this long ago.
    t.deepEqual(sample.completeSince, inHours(20.5 - 14 * 24))
  })
}

/** Where a server says what a statement reads: in its counters, or in its plan. */
const SEEN_IN: Readonly<Record<string, 'counters' | 'plan'>> = {
  mariadb: 'counters',
  mysql: 'counters',
  postgresql: 'plan',
  sqlite: 'plan',
}

for (const database of testDatabases) {
  test(`${database}: no statement scans the table`, async (t) => {
    const { db, totals, codecOf, insert } = await openTotals(t, database, { mostCounted: 50, sampleSize: 20 })
    const session_data = codecOf([secretKey]).encode(new Map([['num_visits', '1']]))
    await insert(...Array.from({ length: 8000 }, (_, at) => ({ session_data, expire: inHours(at - 3999.5) })))
    const statements: { sql: string; bindings: readonly string[] }[] = []
    db.on('query', ({ sql, bindings }) => {
      if (/^select/.test(sql) && sql.includes('django_session')) statements.push({ sql, bindings })
    })
    await totals()
    db.removeAllListeners('query')
    t.is(statements.length, 3)
    if (database === 'postgresql') await db.raw('analyze django_session')
    for (const { sql, bindings } of statements) {
      t.regex(sql, / limit (?:51|21)\b/)
      if (SEEN_IN[database] === 'counters') {
        const read = await db.transaction(async (connection) => {
          const rowsRead = async () => {
            const [rows] = await connection.raw("show session status like 'Handler_read%'")
            return rows.reduce((sum: number, { Value }: { Value: string }) => sum + Number(Value), 0)
          }
          const before = await rowsRead()
          await connection.raw(sql, [...bindings])
          return (await rowsRead()) - before
        })
        t.true(read < 200, `${read} rows for ${sql}`) // SHOW itself reads some rows of its own table
      } else {
        const plan = JSON.stringify(
          await db.raw(`explain ${database === 'sqlite' ? 'query plan ' : ''}${sql.replace('$1', '?')}`, [
            ...bindings,
          ]),
        )
        t.regex(plan, /USING (?:COVERING )?INDEX|Index (?:Only )?Scan/)
        t.notRegex(plan, /Seq Scan|SCAN django_session(?! USING)|TEMP B-TREE|Sort/)
      }
    }
  })
}

test('calls within some seconds share one result, and calls at once share one read', async (t) => {
  let time = 0
  const { db, totals, insert } = await openTotals(t, 'sqlite', { maxAge: 10_000, monotonic: () => time })
  let statements = 0
  db.on('query', () => {
    statements += 1
  })
  const [first, second] = await Promise.all([totals(), totals()])
  t.is(first, second)
  t.is(statements, 3)
  await insert({ session_data: 'x', expire: inHours(1) })
  statements = 0
  time = 9999
  t.is(await totals(), first)
  t.is(statements, 0)
  time = 10_000
  t.is((await totals()).live.count, 1)
})

test('a call during a read waits for its result and starts no other', async (t) => {
  const { db, totals } = await openTotals(t, 'sqlite')
  const later: Promise<unknown>[] = []
  let statements = 0
  db.on('query', () => {
    statements += 1
    later.push(totals())
  })
  const first = await totals()
  for (const one of later) t.is(await one, first)
  t.is(statements, 3)
})

test('a read that fails is not used again', async (t) => {
  const { db, totals } = await openTotals(t, 'sqlite')
  await db.schema.renameTable('django_session', 'elsewhere')
  await t.throwsAsync(totals())
  await db.schema.renameTable('elsewhere', 'django_session')
  t.is((await totals()).live.count, 0)
})

test('a legacy row has no time stamp', async (t) => {
  const { db, dates } = await openDb(t, 'sqlite', { djangoVersion: '3.0' })
  const codec = createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile('3.0'),
    now: () => NOW,
  })
  await db('django_session').insert({
    session_key: 'a'.repeat(32),
    session_data: codec.encode(new Map()),
    expire_date: dates.toColumn(inHours(1)),
  })
  const totals = createSessionTotals({
    db,
    table: 'django_session',
    codec,
    dates,
    cookieAge: 1,
    now: () => NOW,
  })
  const { sample } = await totals()
  t.like(sample.rows[0], { reading: { outcome: 'read', format: 'legacy', keyIndex: 0 }, savedAt: null })
})
