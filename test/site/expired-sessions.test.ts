import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createFileEngine } from '../../src/engines/file.ts'
import { clearSessions } from '../../src/site/expired-sessions.ts'
import type { DjangoSessionsOptions } from '../../src/site/site-options.ts'
import { openDb, secretKey } from '../engines/db-under-test.ts'
import { runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { temporaryFolder } from '../support/service.ts'

const NOW = new Date('2026-06-01T12:00:00.000Z')
const keys = { secretKeys: [secretKey], djangoVersion: '5.2', now: () => NOW } as const
const nothing = { place: null, because: null, expired: null, deleted: 0, interrupted: false }

for (const name of testDatabases) {
  test(`on ${name}, expired sessions go, and a dry run only counts them`, async (t) => {
    const { options, count } = await siteWith(t, name, [-90_000, -5, 5, 90_000])
    t.deepEqual(await clearSessions(options, { dryRun: true }), {
      ...nothing,
      place: 'django_session',
      expired: 2,
    })
    t.is(await count(), 4)
    const seen: number[] = []
    const onProgress = ({ deleted }: { deleted: number }) => void seen.push(deleted)
    t.deepEqual(await clearSessions(options, { onProgress }), {
      ...nothing,
      place: 'django_session',
      deleted: 2,
    })
    t.is(seen.at(-1), 2)
    t.is(await count(), 2)
  })

  test(`on ${name}, sessions that have not been expired for long enough stay`, async (t) => {
    const { options, count } = await siteWith(t, name, [-90_000, -86_400, -86_401, -5, 5])
    t.is((await clearSessions(options, { olderThan: 86_400, dryRun: true })).expired, 2)
    t.is((await clearSessions(options, { olderThan: 86_400 })).deleted, 2)
    t.is(await count(), 3)
  })

  test(`on ${name}, expired entries of a DatabaseCache go`, async (t) => {
    const site = await openDb(t, name)
    const time = site.database.kind === 'postgresql' ? 'timestamp with time zone' : 'datetime'
    await runScript(
      site.database.url,
      `CREATE TABLE cache_of_site (cache_key varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL, expires ${time} NOT NULL)`,
    )
    for (const seconds of [-60, -1, 60])
      await site.db('cache_of_site').insert({
        cache_key: `:1:${seconds}`,
        value: '',
        expires: site.dates.toColumn(new Date(NOW.getTime() + seconds * 1000)),
      })
    const cache = {
      backend: 'django.core.cache.backends.db.DatabaseCache',
      location: ['cache_of_site'],
      keyPrefix: '',
      version: 1,
      options: {},
    }
    const options = { ...keys, db: site.db, engine: 'django.contrib.sessions.backends.cache', cache }
    t.is((await clearSessions(options, { dryRun: true })).expired, 2)
    t.deepEqual(await clearSessions(options), { ...nothing, place: 'cache_of_site', deleted: 2 })
    t.deepEqual(await site.db('cache_of_site').pluck('cache_key'), [':1:60'])
  })
}

test('a run that is ended says so, and the next one does the rest', async (t) => {
  const { options } = await siteWith(
    t,
    'sqlite',
    Array.from({ length: 300 }, () => -60),
  )
  const ending = new AbortController()
  const given = { batchSize: 20, signal: ending.signal, onProgress: () => ending.abort() }
  const first = await clearSessions(options, given)
  t.true(first.interrupted && first.deleted > 0 && first.deleted < 300)
  t.is((await clearSessions(options)).deleted, 300 - first.deleted)
})

test('the expired files of a folder go; files that cannot be read, and files of others, stay', async (t) => {
  const path = join(temporaryFolder(t), 'sessions')
  mkdirSync(path)
  const { codec, clock } = await openDb(t, 'sqlite')
  const rules = {
    useTz: true,
    timeZone: 'UTC',
    cookieAge: 600,
    expireAtBrowserClose: false,
    storesIsoExpiry: true,
  }
  const engine = createFileEngine({ path, cookieName: 'sessionid', codec, rules, now: () => clock.now })
  const save = async (key: string, secondsAgo: number) => {
    clock.now = new Date(NOW.getTime() - secondsAgo * 1000)
    await engine.create(key, { data: new Map([['a', '1']]), expireDate: NOW })
  }
  await save('live0000', 10)
  await save('expired0', 601)
  await save('expired1', 90_000)
  const options: DjangoSessionsOptions = {
    ...keys,
    engine: 'django.contrib.sessions.backends.file',
    filePath: path,
    cookieAge: 600,
  }
  const otherKeys = { ...options, secretKeys: ['another key'] as const }
  t.is((await clearSessions(otherKeys, { dryRun: true })).expired, 2, 'a file says when it was saved')
  t.is((await clearSessions(options, { dryRun: true, olderThan: 86_400 })).expired, 1)
  t.deepEqual(await clearSessions(options, { olderThan: 86_400 }), { ...nothing, place: path, deleted: 1 })
  t.is((await clearSessions(options)).deleted, 1)
  t.deepEqual(readdirSync(path), ['sessionidlive0000'])
})

for (const [engine, because] of [
  ['django.contrib.sessions.backends.signed_cookies', /cookies/],
  ['django.contrib.sessions.backends.cache', /cache/],
] as const)
  test(`with ${engine} nothing is to be cleared, and the result says why`, async (t) => {
    const cache = {
      backend: 'django.core.cache.backends.filebased.FileBasedCache',
      location: [temporaryFolder(t)],
      keyPrefix: '',
      version: 1,
      options: {},
    }
    const result = await clearSessions({ ...keys, engine, cache })
    t.deepEqual({ ...result, because: null }, nothing)
    t.regex(result.because ?? '', because)
  })

test('an engine of your own clears itself, and can do no more than that', async (t) => {
  const unused = async (): Promise<never> => {
    throw new Error('not called')
  }
  const engine = {
    load: unused,
    exists: unused,
    create: unused,
    update: unused,
    delete: unused,
    clearExpired: async () => 7,
  }
  t.deepEqual(await clearSessions({ ...keys, engine }), { ...nothing, place: 'engine', deleted: 7 })
  await t.throwsAsync(clearSessions({ ...keys, engine }, { dryRun: true }), { instanceOf: TypeError })
})

/** A database with sessions that expire so many seconds from now. */
async function siteWith(t: ExecutionContext, name: TestDatabaseName, expiries: readonly number[]) {
  const { db, dates } = await openDb(t, name)
  const rows = expiries.map((seconds, at) => ({
    session_key: `k${String(at).padStart(31, '0')}`,
    session_data: '',
    expire_date: dates.toColumn(new Date(NOW.getTime() + seconds * 1000)),
  }))
  await db.batchInsert('django_session', rows, 250)
  const options: DjangoSessionsOptions = { ...keys, db }
  return { options, count: async () => (await db('django_session').pluck('session_key')).length }
}
