import test, { type ExecutionContext } from 'ava'
import knex, { type Knex } from 'knex'
import { UnreadableSession } from '../../src/django/session-data.ts'
import { createDbEngine } from '../../src/engines/db.ts'
import { createSessions } from '../../src/session/handle.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { rules } from '../session/conformance/engine-under-test.ts'
import { type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { connect, type DbUnderTest, openDb } from './db-under-test.ts'

const file = fileScope(test)

for (const name of testDatabases) {
  conformance(`db engine on ${name}`, () => openDb(file, name))
  rowTests(name)
}

/** What only the rows and the statements show. */
function rowTests(name: TestDatabaseName): void {
  let opened: Promise<DbUnderTest> | undefined
  const check = (
    behaviour: string,
    body: (t: ExecutionContext, site: DbUnderTest) => Promise<void>,
  ): void => {
    test.serial(`db engine on ${name}: ${behaviour}`, async (t) => {
      opened ??= openDb(file, name)
      const site = await opened
      site.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await site.empty()
      await body(t, site)
    })
  }
  const KEY = 'abcdefgh0123456789abcdefgh012345'
  const inAnHour = '2026-11-23 09:25:12.345000'
  const open = ({ engine, clock }: DbUnderTest, sessionKey?: string) =>
    createSessions({ engine, rules, now: () => clock.now }).open(sessionKey)
  const liveRow = (session_key: string, session_data: string) => ({
    session_key,
    session_data,
    expire_date: name === 'postgresql' ? `${inAnHour}+00` : inAnHour,
  })

  check('a row is what Django would have written', async (t, site) => {
    const session = await open(site).load()
    session.set('a', 1)
    await session.save()
    const [row] = await site.rows()
    t.is(row?.session_key, session.sessionKey ?? '')
    t.regex(row?.session_data ?? '', /^[\w-]+:[\w-]+:[\w-]{43}$/)
    t.is(
      row?.expire_date,
      `2026-12-07 08:25:12.345${{ mysql: '000', sqlite: '000', postgresql: '+00' }[site.database.kind]}`,
    )
  })

  check('microseconds and an older writer do not make a session look changed', async (t, site) => {
    await site.insert({
      ...liveRow(KEY, site.codec.encode(new Map([['a', '1']]))),
      expire_date: '2026-11-23 09:25:12.345678',
    })
    const session = await open(site, KEY).load()
    session.set('b', 2)
    await session.save()
    t.is(session.outcome, 'saved')
    t.is(session.sessionKey, KEY)
  })

  for (const [change, changed] of [
    ['case', (text: string) => text.replace(/[a-z]/g, (letter) => letter.toUpperCase())],
    ['a trailing blank', (text: string) => `${text} `],
    ['an accent', (text: string) => text.replace(/[aeiou]/, 'é')],
  ] as const) {
    for (const size of [10, 6000]) {
      check(
        `a stored text of ${size} characters that differs only by ${change} is another revision`,
        async (t, site) => {
          const { engine, clock } = site
          const data = new Map([['a', `"${'aeiou'.repeat(size / 5)}"`]])
          await site.insert(liveRow(KEY, changed(site.codec.encode(data))))
          const revision = site.codec.encode(data)
          t.deepEqual(await rowsUpdatedBy(site, revision), [], 'nothing is written')
          await t.throwsAsync(engine.update(KEY, { data, expireDate: clock.now }, revision), {
            code: 'ERR_SESSION_CONFLICT',
          })
          await t.throwsAsync(engine.delete(KEY, revision), { code: 'ERR_SESSION_CONFLICT' })
          t.is((await site.rows())[0]?.session_data, changed(revision))
        },
      )
    }
  }

  check('an update that changes no column counts as an update', async (t, site) => {
    const { engine, clock } = site
    const session = { data: new Map([['a', '1']]), expireDate: clock.now }
    let { revision } = await engine.create(KEY, session)
    for (let time = 0; time < 3; time += 1) ({ revision } = await engine.update(KEY, session, revision))
    t.is((await site.rows()).length, 1)
  })

  for (const [reason, text] of [
    ['of another site', 'eyJhIjoxfQ:1vN000:5PqrjBPKqgWvQbnTx4TCFmqnUWbuSOcBRN4GLnh1cXk'],
    ['in another format', 'Zmxhc2tkajphbGtkamY='],
    ['that is no session', 'garbage'],
    ['that is empty', ''],
    ['that is plain JSON', '{"a":1}'],
    ['that is not ASCII', '한글'],
  ] as const) {
    check(`a row ${reason} is never written over: the visitor gets a new key`, async (t, site) => {
      await site.insert(liveRow(KEY, text))
      const before = await site.rows()
      await t.throwsAsync(site.engine.load(KEY), { instanceOf: UnreadableSession })
      const told: string[] = []
      const sessions = createSessions({
        engine: site.engine,
        rules,
        now: () => site.clock.now,
        events: { unreadable: (sessionKey, error) => told.push(`${sessionKey} ${error.code}`) },
      })
      const handle = sessions.open(KEY)
      const session = await handle.load()
      t.deepEqual(told, [`${KEY} ERR_SESSION_UNREADABLE`])
      t.like(handle, { isUnreadable: true, sessionKey: null, isEmpty: true, outcome: 'unreadable' })
      session.set('b', 2)
      await session.save()
      await session.cycleKey()
      t.regex(session.sessionKey ?? '', /^[a-z0-9]{32}$/)
      await session.flush()
      t.deepEqual(await site.rows(), before)
    })
  }

  check('a row that becomes unreadable meanwhile ends the request and stays as it is', async (t, site) => {
    await site.insert(liveRow(KEY, site.codec.encode(new Map([['a', '1']]))))
    const [left, right] = [await open(site, KEY).load(), await open(site, KEY).load()]
    await site.db('django_session').update({ session_data: 'of another site' })
    left.set('b', 2)
    await t.throwsAsync(left.save(), { name: 'SessionInterrupted' })
    await t.throwsAsync(right.cycleKey(), { name: 'SessionInterrupted' })
    t.deepEqual(await site.rows(), [
      { ...(await site.rows())[0], session_key: KEY, session_data: 'of another site' },
    ])
  })

  check('a Knex with the settings of its driver reads the same dates', async (t, site) => {
    const url = site.database.url
    const config: Knex.Config =
      name === 'sqlite'
        ? { client: 'better-sqlite3', connection: url.replace('sqlite:///', ''), useNullAsDefault: true }
        : { client: name === 'postgresql' ? 'pg' : 'mysql2', connection: url }
    const db = knex(config)
    t.teardown(() => db.destroy())
    const { codec, dates, clock } = site
    const engine = createDbEngine({ db, codec, dates, now: () => clock.now })
    const session = { data: new Map([['a', '1']]), expireDate: new Date('2026-11-23T09:25:12.345Z') }
    const { revision } = await engine.create(KEY, session)
    t.like(await engine.load(KEY), session)
    t.like(await site.engine.load(KEY), session)
    await t.notThrowsAsync(
      engine.update(KEY, session, revision),
      'an update that changes nothing counts as one',
    )
  })

  check('more expired sessions than one step clears are all cleared', async (t, site) => {
    const rows = Array.from({ length: 2100 }, (_, at) => ({
      ...liveRow(`key${at}`, 'x'),
      expire_date: '2026-11-23 08:00:00',
    }))
    await site.db.batchInsert('django_session', rows, 300)
    await site.insert(liveRow(KEY, 'x'))
    t.is(await site.engine.clearExpired(), 2100)
    t.deepEqual(
      (await site.rows()).map(({ session_key }) => session_key),
      [KEY],
    )
  })

  if (name === 'sqlite')
    check('clearing ends although a trigger of the database keeps expired rows', async (t, site) => {
      await site.insert({ ...liveRow(KEY, 'x'), expire_date: '2026-11-23 08:00:00' })
      await site.insert({ ...liveRow('other', 'x'), expire_date: '2026-11-23 08:00:01' })
      await site.db.raw(`CREATE TRIGGER keep BEFORE DELETE ON django_session WHEN OLD.session_key = '${KEY}'
        BEGIN SELECT RAISE(IGNORE); END`)
      t.teardown(() => site.db.raw('DROP TRIGGER keep'))
      t.is(await site.engine.clearExpired(), 1)
    })

  check(
    'a session costs one statement to load, one to create, one to save and one to flush',
    async (t, site) => {
      const statements = listen(site)
      const session = await open(site).load()
      t.deepEqual(statements.splice(0), [])
      session.set('a', 1)
      await session.save()
      t.deepEqual(statements.splice(0), ['insert'])
      const next = await open(site, session.sessionKey ?? '').load()
      t.deepEqual(statements.splice(0), ['select'])
      next.set('b', 1)
      await next.save()
      t.deepEqual(statements.splice(0), ['update'])
      await next.save()
      t.deepEqual(statements.splice(0), [], 'nothing has changed since')
      await next.flush()
      t.deepEqual(statements.splice(0), ['delete'])
    },
  )

  check(
    'thirty sessions that are loaded at once are read by one statement, and each caller gets its own',
    async (t, site) => {
      const keys = Array.from({ length: 30 }, (_, at) => `visitor${at}`.padEnd(32, 'x'))
      for (const [at, key] of keys.entries())
        await site.insert(liveRow(key, site.codec.encode(new Map([['n', String(at)]]))))
      const statements = listen(site)
      const found = await Promise.all([...keys, KEY].map((key) => site.engine.load(key)))
      t.deepEqual(
        found.map((stored) => stored?.data.get('n')),
        [...keys.map((_, at) => String(at)), undefined],
      )
      t.deepEqual(statements, ['select'])
    },
  )

  check('fifty requests that count at once cost less than fifty updates', async (t, site) => {
    await site.insert(liveRow(KEY, site.codec.encode(new Map())))
    const sessions = createSessions({ engine: site.engine, rules, now: () => site.clock.now })
    const statements = listen(site)
    const numbers = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const session = await sessions.open(KEY).load()
        session.compute('n', (old) => Number(old ?? 0) + 1)
        await session.save()
        return Number(session.get('n'))
      }),
    )
    t.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, at) => at + 1),
    )
    const updates = statements.filter((verb) => verb === 'update').length
    t.true(updates < 50, `${updates} updates`)
    t.is(
      statements.filter((verb) => verb !== 'update' && verb !== 'select').length,
      0,
      'no transaction, no lock',
    )
    t.deepEqual((await site.engine.load(KEY))?.data, new Map([['n', '50']]))
  })

  check('two processes that count on one row lose nothing', async (t, site) => {
    await site.insert(liveRow(KEY, site.codec.encode(new Map())))
    const other = connect(site.database.url)
    t.teardown(() => other.destroy())
    const { codec, dates, clock } = site
    const engines = [site.engine, createDbEngine({ db: other, codec, dates, now: () => clock.now })]
    const numbers = await Promise.all(
      engines.map(async (engine) => {
        const sessions = createSessions({
          engine,
          rules,
          now: () => clock.now,
          conflictTimeout: 60_000,
        })
        const seen: number[] = []
        const visit = async () => {
          const session = await sessions.open(KEY).load()
          session.compute('n', (old) => Number(old ?? 0) + 1)
          await session.save()
          seen.push(Number(session.get('n')))
        }
        for (let round = 0; round < 20; round += 1) await Promise.all([visit(), visit(), visit()])
        return seen
      }),
    )
    t.deepEqual(
      numbers.flat().sort((a, b) => a - b),
      Array.from({ length: 120 }, (_, at) => at + 1),
    )
  })

  /** The keys of the rows that an update with this revision would change. */
  async function rowsUpdatedBy({ engine, clock }: DbUnderTest, revision: string): Promise<string[]> {
    const update = engine.update(KEY, { data: new Map(), expireDate: clock.now }, revision)
    return update.then(
      () => [KEY],
      () => [],
    )
  }
}

/** The first word of each statement from now on. */
function listen({ db }: DbUnderTest): string[] {
  const statements: string[] = []
  db.on('query', ({ sql }: { sql: string }) => statements.push(sql.split(' ')[0] ?? ''))
  return statements
}
