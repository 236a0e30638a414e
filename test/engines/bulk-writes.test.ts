import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createDbEngine } from '../../src/engines/db.ts'
import { createRetryingEngine } from '../../src/engines/retrying-engine.ts'
import type { NewSession, StoredSession } from '../../src/session/engine.ts'
import { ConflictError, CreateError, UncertainWrite, UpdateError } from '../../src/session/engine.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { connect, type DbUnderTest, openDb } from './db-under-test.ts'

const file = fileScope(test)

const WAITING: Readonly<Record<string, string>> = {
  mariadb: 'delays no other request',
  mysql: 'delays others until the time-out, and fails none of them',
  postgresql: 'delays no other request',
}

/** What the UPDATE of several rows has. */
const BULK_UPDATE = {
  mariadb: /case session_key/,
  mysql: /case session_key/,
  postgresql: /skip locked/,
  sqlite: /from \(values/,
}

for (const name of ['mariadb', 'mysql', 'postgresql', 'sqlite'] as const) {
  if (testDatabases.includes(name)) writesAtOnce(name)
}

/** Sessions that are written in one statement. */
function writesAtOnce(name: 'mariadb' | 'mysql' | 'postgresql' | 'sqlite'): void {
  let opened: Promise<DbUnderTest> | undefined
  const check = (what: string, body: (t: ExecutionContext, site: DbUnderTest) => Promise<void>): void => {
    test.serial(`sessions written at once to ${name}: ${what}`, async (t) => {
      opened ??= openDb(file, name)
      const site = await opened
      site.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await site.empty()
      await body(t, site)
    })
  }

  check('all are stored in one statement, with the same rows as one by one', async (t, site) => {
    const statements = writesOf(site)
    const created = await createAll(site, KEYS)
    t.deepEqual(
      created,
      KEYS.map(() => 'stored'),
    )
    const updated = await updateAll(site, await loadAll(site), 2)
    t.deepEqual(
      updated,
      KEYS.map(() => 'stored'),
    )
    t.is(statements.length, 2)
    t.regex(statements[0] ?? '', /^(?:set statement .* for )?insert/)
    t.regex(statements[1] ?? '', BULK_UPDATE[name])

    const together = await site.rows()
    await site.empty()
    for (const key of KEYS) {
      await site.engine.create(key, visits(site, 1))
      const stored = await site.engine.load(key)
      await site.engine.update(key, visits(site, 2), stored?.revision ?? '')
    }
    t.deepEqual(together, await site.rows())
  })

  check('a conflict or a deletion fails only its own request', async (t, site) => {
    await createAll(site, KEYS)
    const loaded = await loadAll(site)
    await site.engine.update(KEYS[3] ?? '', visits(site, 7), loaded.get(KEYS[3] ?? '')?.revision ?? '')
    const outcomes = await updateAll(site, loaded, 2)
    t.deepEqual(
      outcomes,
      KEYS.map((_, at) => (at === 3 ? ConflictError : 'stored')),
    )
    t.deepEqual(
      await visitsOf(site),
      KEYS.map((_, at) => (at === 3 ? 7 : 2)),
    )

    const reloaded = await loadAll(site)
    await site.engine.delete(KEYS[5] ?? '')
    t.deepEqual(
      await updateAll(site, reloaded, 3),
      KEYS.map((_, at) => (at === 5 ? UpdateError : 'stored')),
    )
    t.deepEqual(
      await visitsOf(site),
      KEYS.filter((_, at) => at !== 5).map(() => 3),
    )
  })

  if (name === 'mariadb' || name === 'mysql') {
    check('a row that is deleted after it was written is not called deleted before it', async (t, site) => {
      const [before = '', after = ''] = [KEYS[2], KEYS[5]]
      await createAll(site, KEYS)
      const loaded = await loadAll(site)
      await site.engine.delete(before)
      const written = deleteAfterUpdate(site, [after])
      const statements = writesOf(site)
      t.deepEqual(
        await updateAll(site, loaded, 2),
        KEYS.map((key) => (key === before || key === after ? UncertainWrite : 'stored')),
      )
      t.deepEqual(await written, [2], 'the deleted row had the change')
      t.is(statements.length, 1, 'nothing is written a second time')
      t.deepEqual(
        await visitsOf(site),
        KEYS.slice(2).map(() => 2),
      )
    })

    check('rows that others changed do not let the rest be written one by one', async (t, site) => {
      await createAll(site, KEYS)
      const loaded = await loadAll(site)
      const changed = KEYS.slice(2, 4)
      for (const key of changed)
        await site.engine.update(key, visits(site, 7), loaded.get(key)?.revision ?? '')
      await site.engine.delete(KEYS[5] ?? '')
      const statements = writesOf(site)
      t.deepEqual(
        await updateAll(site, loaded, 2),
        KEYS.map((key, at) => (changed.includes(key) ? ConflictError : at === 5 ? UpdateError : 'stored')),
      )
      t.deepEqual(
        await visitsOf(site),
        KEYS.filter((_, at) => at !== 5).map((key) => (changed.includes(key) ? 7 : 2)),
      )
      const inBulk = statements.filter((sql) => BULK_UPDATE[name].test(sql))
      t.is(inBulk.length, 2, 'all rows, and those that are as they were')
      t.is(statements.length, inBulk.length + 3, 'and one for each of the others')
    })

    check('a changed row beside a locked one fails only its own request', async (t, site) => {
      await createAll(site, KEYS)
      const loaded = await loadAll(site)
      const [changed = '', locked = ''] = [KEYS[2], KEYS[8]]
      await site.engine.update(changed, visits(site, 7), loaded.get(changed)?.revision ?? '')
      const other = connect(site.database.url)
      t.teardown(() => other.destroy())
      const transaction = await other.transaction()
      t.teardown(() => transaction.isCompleted() || transaction.rollback())
      await transaction('django_session').where('session_key', locked).forUpdate().select()

      const outcomes = KEYS.map((key) =>
        outcome(site.engine.update(key, visits(site, 2), loaded.get(key)?.revision ?? '')),
      )
      t.deepEqual(
        await Promise.all(outcomes.filter((_, at) => KEYS[at] !== locked)),
        KEYS.filter((key) => key !== locked).map((key) => (key === changed ? ConflictError : 'stored')),
      )
      await transaction.rollback() // only now
      t.is(await outcomes[8], 'stored')
      t.deepEqual(
        await visitsOf(site),
        KEYS.map((key) => (key === changed ? 7 : 2)),
      )
    })

    check('if all rows were written, those that are deleted at once are stored', async (t, site) => {
      await createAll(site, KEYS)
      const written = deleteAfterUpdate(site, KEYS.slice(0, 2))
      t.deepEqual(
        await updateAll(site, await loadAll(site), 2),
        KEYS.map(() => 'stored'),
      )
      t.deepEqual(await written, [2, 2])
    })
  }

  check('a key that is taken fails only its own request', async (t, site) => {
    await createAll(site, KEYS.slice(4, 5))
    t.deepEqual(
      await createAll(site, KEYS),
      KEYS.map((_, at) => (at === 4 ? CreateError : 'stored')),
    )
  })

  check('of two updates of the same session, one succeeds', async (t, site) => {
    const [first = '', second = ''] = KEYS
    await createAll(site, [first, second])
    const loaded = await loadAll(site)
    const update = (key: string, count: number) =>
      outcome(site.engine.update(key, visits(site, count), loaded.get(key)?.revision ?? ''))
    const outcomes = await Promise.all([update(first, 2), update(second, 2), update(second, 3)])
    t.is(outcomes[0], 'stored')
    t.is(outcomes.filter((one) => one === ConflictError).length, 1)
    t.is(outcomes.filter((one) => one === 'stored').length, 2)
    t.deepEqual(await visitsOf(site), [2, outcomes[1] === 'stored' ? 2 : 3])
  })

  // SQLite locks no row, but the whole file.
  if (name !== 'sqlite')
    check('a row that another transaction has locked delays no other request', async (t, site) => {
      await createAll(site, KEYS)
      const loaded = await loadAll(site)
      const locked = KEYS[6] ?? ''
      const other = connect(site.database.url)
      t.teardown(() => other.destroy())
      const transaction = await other.transaction()
      await transaction('django_session')
        .where('session_key', locked)
        .update({ session_data: 'never committed' })

      const outcomes = new Map(
        KEYS.map((key) => [
          key,
          outcome(site.engine.update(key, visits(site, 2), loaded.get(key)?.revision ?? '')),
        ]),
      )
      const others = KEYS.filter((key) => key !== locked)
      t.deepEqual(
        await Promise.all(others.map((key) => outcomes.get(key))),
        others.map(() => 'stored'),
      )
      await transaction.rollback() // only now
      t.is(await outcomes.get(locked), 'stored')
      t.deepEqual(
        await visitsOf(site),
        KEYS.map(() => 2),
      )
    })

  // PostgreSQL locks no gaps.
  const lockable = {
    mariadb: ['key', 'gap'],
    mysql: ['key', 'gap'],
    postgresql: ['key'],
    sqlite: [],
  } as const
  for (const what of lockable[name]) {
    test.serial(
      `sessions written at once to ${name}: a ${what} that another transaction has locked ${WAITING[name]}`,
      async (t) => {
        t.timeout(60_000)
        const own = await openDb(t, name, name === 'mysql' ? {} : { timeout: 600 }) // MariaDB shall not wait at all
        if (name === 'mysql') shortenLockWaits(own)
        const locked = KEYS[6] ?? ''
        await own.engine.create(`${keyOf(5)}z`, visits(own, 1))
        const other = connect(own.database.url)
        t.teardown(() => other.destroy())
        const transaction = await other.transaction(
          what === 'gap' ? { isolationLevel: 'repeatable read' } : {},
        )
        // Otherwise its pool waits for it for ever after a failure.
        t.teardown(() => transaction.isCompleted() || transaction.rollback())
        if (what === 'key')
          await transaction('django_session').insert({
            session_key: locked,
            session_data: 'never committed',
            expire_date: '2026-01-01',
          })
        else await transaction('django_session').where('session_key', '>', keyOf(6)).forUpdate().select()

        const outcomes = KEYS.map((key) => outcome(own.engine.create(key, visits(own, 1))))
        const others = KEYS.map((_, at) => at).filter((at) => (what === 'key' ? at !== 6 : at < 6))
        t.deepEqual(
          await Promise.all(others.map((at) => outcomes[at])),
          others.map(() => 'stored'),
        )
        await transaction.rollback() // only now
        const late = await Promise.all(outcomes)
        if (name !== 'mysql') t.true(late.every((one) => one === 'stored'))
        t.is((await own.rows()).length, 1 + late.filter((one) => one === 'stored').length)
      },
    )
  }

  check('a row that does not fit into a bulk statement is stored all the same', async (t, site) => {
    const long = '<'.repeat(10_000)
    const dataOf = (at: number) => new Map([['note', JSON.stringify(at % 2 === 0 ? long : `no. ${at}`)]])
    await Promise.all(
      KEYS.map((key, at) => site.engine.create(key, { ...visits(site, 1), data: dataOf(at) })),
    )
    const loaded = await loadAll(site)
    t.deepEqual(
      KEYS.map((key) => loaded.get(key)?.data),
      KEYS.map((_, at) => dataOf(at)),
    )
    t.deepEqual(
      await updateAll(site, loaded, 2),
      KEYS.map(() => 'stored'),
    )
    t.deepEqual(
      await visitsOf(site),
      KEYS.map(() => 2),
    )
  })

  check('more rows than one statement holds are stored', async (t, site) => {
    const keys = Array.from({ length: 130 }, (_, at) => keyOf(at))
    await createAll(site, keys)
    await updateAll(site, await loadAll(site, keys), 2)
    t.deepEqual(
      await visitsOf(site),
      keys.map(() => 2),
    )
  })

  const withoutTransactions = {
    what: 'a table without transactions',
    script: 'ALTER TABLE django_session ENGINE = MyISAM',
  }
  const unfit = {
    mariadb: withoutTransactions,
    mysql: withoutTransactions,
    postgresql: {
      what: 'a table with a rule, which may not return what it wrote,',
      script:
        'CREATE RULE own AS ON UPDATE TO django_session WHERE new.session_key IS NULL DO INSTEAD NOTHING',
    },
    sqlite: {
      what: 'a table with a trigger, which may not return what it wrote,',
      script: 'CREATE TRIGGER own AFTER UPDATE ON django_session BEGIN SELECT 1; END',
    },
  }[name]
  check(`${unfit.what} is written row by row`, async (t) => {
    const own = await openDb(file, name)
    await own.db.raw(unfit.script)
    const statements = writesOf(own)
    await createAll(own, KEYS)
    const loaded = await loadAll(own)
    await own.engine.delete(KEYS[11] ?? '')
    await own.engine.update(KEYS[3] ?? '', visits(own, 7), loaded.get(KEYS[3] ?? '')?.revision ?? '')
    t.deepEqual(
      await updateAll(own, loaded, 2),
      KEYS.map((_, at) => (at === 3 ? ConflictError : at === 11 ? UpdateError : 'stored')),
    )
    t.deepEqual(
      statements.filter((sql) => /case|\), \(|unnest/.test(sql)),
      [],
    )
  })

  check('a statement holds at most 400 kB', async (t, site) => {
    const statements: number[] = []
    const onQuery = ({ sql, bindings }: { sql: string; bindings: readonly unknown[] }): void => {
      if (/^(insert|update|set statement)/.test(sql)) statements.push(bindings.join('').length)
    }
    const keys = Array.from({ length: 130 }, (_, at) => keyOf(at))
    const large = (count: number): NewSession => ({
      ...visits(site, count),
      data: new Map([
        ['num_visits', String(count)],
        ['noise', JSON.stringify(noise(2500 + count))],
      ]),
    })
    site.db.on('query', onQuery)
    await Promise.all(keys.map((key) => site.engine.create(key, large(1))))
    const loaded = await loadAll(site, keys)
    await Promise.all(keys.map((key) => site.engine.update(key, large(2), loaded.get(key)?.revision ?? '')))
    site.db.removeListener('query', onQuery)
    t.true(Math.max(...statements) <= 400_000)
    t.true(Math.max(...statements) > 100_000, 'the sessions shared statements')
    t.deepEqual(
      await visitsOf(site),
      keys.map(() => 2),
    )
  })

  test.serial(
    `sessions written at once to ${name}: two processes that save the same sessions in opposite orders do not deadlock`,
    async (t) => {
      const own = await openDb(t, name)
      const other = connect(own.database.url)
      t.teardown(() => other.destroy())
      const { codec, dates, clock } = own
      const engines = [own.engine, createDbEngine({ db: other, codec, dates, now: () => clock.now })]
      const orders = [KEYS, KEYS.toReversed()]
      const codes = errorsOf(own.db, other)
      await createAll(own, KEYS)
      for (let round = 1; round <= 25; round += 1) {
        const loaded = await loadAll(own)
        const outcomes = await Promise.all(
          engines.flatMap((engine, at) =>
            (orders[at] ?? []).map(async (key) => {
              const written = { ...visits(own, round), data: new Map([['by', `"${at} ${round}"`]]) }
              return [
                key,
                await outcome(engine.update(key, written, loaded.get(key)?.revision ?? '')),
              ] as const
            }),
          ),
        )
        for (const key of KEYS)
          t.deepEqual(
            outcomes
              .filter(([one]) => one === key)
              .map(([, result]) => (result === 'stored' ? result : (result as { name: string }).name))
              .sort(),
            ['ConflictError', 'stored'],
          )
      }
      if (name === 'postgresql') t.deepEqual(codes, [])
    },
  )

  test.serial(
    `sessions written at once to ${name}: of two processes that create the same sessions in opposite orders, one stores each`,
    async (t) => {
      const own = await openDb(t, name)
      const other = connect(own.database.url)
      t.teardown(() => other.destroy())
      const { codec, dates, clock } = own
      // Each retries, as the service does: of two that wait for each other's gap, MySQL chooses a victim.
      const engines = [own.engine, createDbEngine({ db: other, codec, dates, now: () => clock.now })].map(
        (engine) => createRetryingEngine(engine, { timeout: 30_000 }),
      )
      const codes = errorsOf(own.db, other)
      for (let round = 1; round <= 10; round += 1) {
        await own.empty()
        const outcomes = await Promise.all(
          engines.flatMap((engine, at) =>
            (at === 0 ? KEYS : KEYS.toReversed()).map((key) => outcome(engine.create(key, visits(own, 1)))),
          ),
        )
        t.is(outcomes.filter((one) => one === 'stored').length, KEYS.length)
        t.is(outcomes.filter((one) => one === CreateError).length, KEYS.length)
      }
      if (name === 'postgresql') t.false(codes.includes('40P01'), 'deadlock_detected')
    },
  )
}

/** What a site may have made of its table in SQLite. */
const SQLITE_TABLES: Readonly<Record<string, string>> = {
  'that compares without case':
    '(session_key varchar(40) PRIMARY KEY COLLATE NOCASE, session_data text COLLATE NOCASE, expire_date datetime)',
  'without rowid':
    '(session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime) WITHOUT ROWID',
  'that is strict': '(session_key text PRIMARY KEY, session_data text, expire_date text) STRICT',
  'with a computed column':
    '(session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime, size AS (length(session_data)))',
  'that refuses one row':
    "(session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime CHECK (session_key NOT LIKE '0003%' OR expire_date < '2026-11-23 09:25:13'))",
}

if (testDatabases.includes('sqlite'))
  for (const [what, definition] of Object.entries(SQLITE_TABLES)) {
    test(`sessions written at once to sqlite: a table ${what} has the outcomes of writing one by one`, async (t) => {
      const site = await openDb(t, 'sqlite')
      site.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await site.db.raw('DROP TABLE django_session')
      await site.db.raw(`CREATE TABLE django_session ${definition}`)
      const statements = writesOf(site)
      t.deepEqual(
        await createAll(site, KEYS),
        KEYS.map(() => 'stored'),
      )
      const loaded = await loadAll(site)
      const late = (key: string) =>
        what === 'that refuses one row' && key === KEYS[3] ? 7_200_000 : 3_600_000
      const outcomes = await Promise.all(
        [...loaded].map(([key, { revision }]) => {
          const expireDate = new Date(site.clock.now.getTime() + late(key))
          return outcome(site.engine.update(key, { ...visits(site, 2), expireDate }, revision))
        }),
      )
      t.deepEqual(
        outcomes.map((one) => one === 'stored'),
        KEYS.map((key) => late(key) === 3_600_000),
      )
      t.true(statements.some((sql) => BULK_UPDATE.sqlite.test(sql)))
      t.deepEqual(
        await visitsOf(site),
        KEYS.map((key) => (late(key) === 3_600_000 ? 2 : 1)),
      )
    })
  }

/** The codes of the errors that the servers answer from now on. */
function errorsOf(...connected: readonly Knex[]): unknown[] {
  const codes: unknown[] = []
  for (const db of connected) db.on('query-error', (error: { code?: unknown }) => codes.push(error.code))
  return codes
}

/** Text that does not compress. */
function noise(length: number): string {
  let text = ''
  for (let seed = 1; text.length < length; seed = (seed * 48_271) % 2_147_483_647) text += seed.toString(36)
  return text.slice(0, length)
}

const keyOf = (at: number): string => `${String(at).padStart(4, '0')}abcdefgh0123456789abcdefgh01`
const KEYS: readonly string[] = Array.from({ length: 12 }, (_, at) => keyOf(at))

function visits({ clock }: DbUnderTest, count: number): NewSession {
  return {
    data: new Map([['num_visits', String(count)]]),
    expireDate: new Date(clock.now.getTime() + 3_600_000),
  }
}

/** The statements that change rows, as they are sent. */
function writesOf({ db }: DbUnderTest): string[] {
  const statements: string[] = []
  db.on('query', ({ sql }: { sql: string }) => {
    if (/^(insert|update|set statement)/.test(sql)) statements.push(sql)
  })
  return statements
}

/** One second, the shortest of MySQL, which may take up to another one; the client's own limit is longer. */
function shortenLockWaits({ db: { client } }: DbUnderTest): void {
  const connectAsUsual = client.acquireRawConnection.bind(client)
  client.acquireRawConnection = async () => {
    const connection = await connectAsUsual()
    await promisify(connection.query.bind(connection))('SET SESSION innodb_lock_wait_timeout = 1')
    return connection
  }
}

/**
 * Deletes rows after the next bulk UPDATE, before its answer arrives here. Resolves to the visits that these rows had.
 */
function deleteAfterUpdate(site: DbUnderTest, keys: readonly string[]): Promise<number[]> {
  const { client } = site.db
  const query = client._query
  return new Promise((resolve, reject) => {
    client._query = async (connection: unknown, given: { sql: string }) => {
      const answer = await query.call(client, connection, given)
      if (!given.sql.includes('case session_key')) return answer
      client._query = query
      try {
        const deleted = site.db('django_session').whereIn('session_key', keys)
        const texts: string[] = await deleted.clone().pluck('session_data')
        await deleted.delete()
        resolve(texts.map((text) => Number(site.codec.decode(text).data.get('num_visits'))))
      } catch (error) {
        reject(error)
      }
      return answer
    }
  })
}

/** 'stored', or the class of its error. */
function outcome(write: Promise<unknown>): Promise<unknown> {
  return write.then(
    () => 'stored',
    (error: Error) => error.constructor,
  )
}

function createAll(site: DbUnderTest, keys: readonly string[]): Promise<unknown[]> {
  return Promise.all(keys.map((key) => outcome(site.engine.create(key, visits(site, 1)))))
}

function updateAll(
  site: DbUnderTest,
  loaded: ReadonlyMap<string, StoredSession>,
  count: number,
): Promise<unknown[]> {
  const updates = [...loaded].map(([key, { revision }]) =>
    outcome(site.engine.update(key, visits(site, count), revision)),
  )
  return Promise.all(updates)
}

async function loadAll(
  site: DbUnderTest,
  keys: readonly string[] = KEYS,
): Promise<Map<string, StoredSession>> {
  const loaded = new Map<string, StoredSession>()
  for (const key of keys) {
    const stored = await site.engine.load(key)
    if (stored !== null) loaded.set(key, stored)
  }
  return loaded
}

async function visitsOf(site: DbUnderTest): Promise<number[]> {
  const rows = await site.rows()
  return rows.map(({ session_data }) => Number(site.codec.decode(session_data).data.get('num_visits')))
}
