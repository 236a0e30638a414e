import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createDateColumn } from '../../src/django/datetime.ts'
import { type ClearRowsOptions, clearRows, countRows } from '../../src/sql/clear-rows.ts'
import { databaseKindOf } from '../../src/sql/dialect.ts'
import { connect } from '../engines/db-under-test.ts'
import { createTestDatabase, runScript, testDatabases } from '../support/databases.ts'

const SESSIONS = { table: 'django_session', key: 'session_key', expiry: 'expire_date' }
const NOW = new Date('2026-06-01T12:00:00.000Z')

for (const name of testDatabases) {
  test(`on ${name}, only expired rows go, and a run that finds none deletes none`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(2500, (index) => (index % 2 === 0 ? -1 - (index % 7) : 1 + (index % 7)))
    const seen: number[] = []
    t.is(await countRows(site.options), 1250)
    t.is(await clearRows({ ...site.options, onProgress: (deleted) => seen.push(deleted) }), 1250)
    t.is(seen.at(-1), 1250)
    t.true(seen.length > 2, 'in more than one batch')
    t.is(await site.count(), 1250)
    t.is(await clearRows(site.options), 0)
  })

  test(`on ${name}, all rows of one moment go, although a batch holds fewer`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(700, () => -60)
    t.is(await clearRows({ ...site.options, batchSize: 50 }), 700)
    t.is(await site.count(), 0)
  })

  test(`on ${name}, a session renewed while the run works stays`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(400, (index) => -1000 + index)
    const renewed = site.keyOf(399)
    let isRenewed = false
    const deleted = await clearRows({
      ...site.options,
      batchSize: 20,
      onProgress() {
        if (isRenewed) return
        isRenewed = true
        site.pending.push(site.renew(renewed))
      },
    })
    await Promise.all(site.pending)
    t.is(deleted, 399)
    t.deepEqual(await site.keys(), [renewed])
  })

  test(`on ${name}, rows are counted in pieces, those of one moment too`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(500, (index) => (index < 300 ? -60 - Math.floor(index / 70) : index))
    for (const atOnce of [1, 7, 70, 300, 1000]) {
      t.is(await countRows({ ...site.options, atOnce }), 300, `${atOnce} expired rows at once`)
      t.is(await countRows({ ...site.options, before: null, atOnce }), 500, `${atOnce} rows at once`)
    }
  })

  test(`on ${name}, without a moment all rows go, whatever their keys contain`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(300, (index) => index - 150)
    const odd = ["o'dd\\' or 1=1 -- ", 'quoted"key?', 'ключ-сессии']
    for (const key of odd) await site.insert(key, 60)
    const deleted: string[] = []
    const around: ClearRowsOptions['around'] = (keys, remove) => {
      deleted.push(...keys)
      return remove()
    }
    t.is(await clearRows({ ...site.options, before: null, batchSize: 30, around }), 303)
    t.is(new Set(deleted).size, 303)
    t.is(await site.count(), 0)
  })

  test(`on ${name}, two runs at once delete each row once`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(1500, (index) => -1 - (index % 100))
    const counts = await Promise.all([clearRows(site.options), clearRows(site.options)])
    t.is(counts[0] + counts[1], 1500)
    t.is(await site.count(), 0)
  })

  test(`on ${name}, a run that is ended leaves whole rows, and the next one does the rest`, async (t) => {
    const site = await openSite(t, name)
    await site.fill(600, () => -60)
    const ending = new AbortController()
    const first = await clearRows({
      ...site.options,
      batchSize: 20,
      signal: ending.signal,
      onProgress: () => ending.abort(),
    })
    t.true(first > 0 && first < 600)
    t.is(await site.count(), 600 - first)
    t.is(await clearRows(site.options), 600 - first)
  })
}

/** The server ends a DELETE of more than so many rows, by a trigger that waits. */
const SLOW = {
  mariadb: 'CREATE TRIGGER slow BEFORE DELETE ON django_session FOR EACH ROW DO SLEEP(0.02)',
  mysql: null, // Its max_execution_time is for SELECT only.
  postgresql: `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END';
    CREATE TRIGGER slow BEFORE DELETE ON django_session FOR EACH ROW EXECUTE FUNCTION slow()`,
  sqlite: null,
} as const

for (const name of testDatabases) {
  const trigger = SLOW[name]
  if (trigger === null) continue
  test(`on ${name}, a batch that the server ends for its time is tried again with fewer rows`, async (t) => {
    const site = await openSite(t, name, { timeout: 1 })
    await site.fill(70, () => -60)
    await runScript(site.url, trigger)
    t.is(await clearRows(site.options), 70)
    t.is(await site.count(), 0)
  })
}

async function openSite(
  t: ExecutionContext,
  name: (typeof testDatabases)[number],
  /** `timeout`: seconds of the connections that `clearRows` uses. */
  { timeout }: { timeout?: number } = {},
) {
  const { url } = await createTestDatabase(t, name, { tables: 'sessions' })
  const db = connect(url)
  t.teardown(() => db.destroy())
  const limited = timeout === undefined ? db : connect(url, timeout)
  if (limited !== db) t.teardown(() => limited.destroy())
  const database = databaseKindOf(db)
  const dates = createDateColumn({ database, useTz: true, timeZone: 'UTC', databaseTimeZone: 'UTC' })
  const at = (seconds: number): string => dates.toColumn(new Date(NOW.getTime() + seconds * 1000))
  const rows = (): Knex.QueryBuilder => db('django_session')
  const keyOf = (index: number): string => `k${String(index).padStart(31, '0')}`
  const options: ClearRowsOptions = { db: limited, table: SESSIONS, before: at(0) }
  return {
    url,
    options,
    keyOf,
    pending: [] as Promise<unknown>[],
    async fill(count: number, expiresIn: (index: number) => number) {
      const all = Array.from({ length: count }, (_, index) => ({
        session_key: keyOf(index),
        session_data: '',
        expire_date: at(expiresIn(index)),
      }))
      await db.batchInsert('django_session', all, 250)
    },
    insert: async (key: string, seconds: number) =>
      rows().insert({ session_key: key, session_data: '', expire_date: at(seconds) }),
    renew: async (key: string) =>
      rows()
        .where({ session_key: key })
        .update({ expire_date: at(60) }),
    count: async (): Promise<number> => (await rows().pluck('session_key')).length,
    keys: async (): Promise<string[]> => rows().pluck('session_key'),
  }
}
