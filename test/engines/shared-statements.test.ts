import test from 'ava'
import type { NewSession } from '../../src/session/engine.ts'
import { UpdateError } from '../../src/session/engine.ts'
import { runScript, runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { waitForTableLockWait } from '../support/lock-waits.ts'
import { type DbUnderTest, openDb } from './db-under-test.ts'

const file = fileScope(test)

/** Columns in which not every character has a place, and databases that take not every byte. */
const ENCODINGS: readonly (readonly [TestDatabaseName, string | undefined])[] = [
  ...(['mariadb', 'mysql'] as const).flatMap((name) =>
    ['latin1', 'ascii', 'utf8mb3', 'utf8mb4', 'ucs2'].map((encoding) => [name, encoding] as const),
  ),
  ...['LATIN1', 'SQL_ASCII', 'EUC_JP', 'UTF8'].map((encoding) => ['postgresql', encoding] as const),
  ['sqlite', undefined],
]

/** Keys that no row can have; each is long enough for Django to look for it. */
const IMPOSSIBLE: readonly string[] = [
  'abcdefgh\u00e9',
  'abcdefgh\u0080',
  '\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}',
  '\ud800abcdefgh',
  'abcdefgh\0',
  'abcdefgh\n',
  'abcdefgh\u007f',
  'abcdefgh ',
  "abcdefgh'",
  'abcdefgh"',
  'abcdefgh\\',
  'k'.repeat(41),
  'k'.repeat(16_000),
  '\u00e9'.repeat(40),
]

for (const [name, encoding] of ENCODINGS) {
  if (!testDatabases.includes(name)) continue
  const where = encoding === undefined ? name : `${name} in ${encoding}`

  test(`${where}: a key that no row can have fails no other request, and is not sent`, async (t) => {
    const site = await openDb(file, name, { ...(encoding !== undefined && { encoding }) })
    await createAll(site, KEYS)
    const sent = statementsOf(site)
    const visitors = IMPOSSIBLE.flatMap((impossible, at) => [
      ...KEYS.slice(at * 3, at * 3 + 3).map((key) => site.engine.load(key).then((stored) => stored !== null)),
      site.engine.load(impossible).then((stored) => stored === null),
    ])
    t.deepEqual(
      await Promise.all(visitors),
      visitors.map(() => true),
    )
    t.is(sent.length, 1)
    t.is(sent[0]?.bindings.length, IMPOSSIBLE.length * 3 + 1)
  })

  test(`${where}: each verb recognizes a key that no row can have`, async (t) => {
    const site = await openDb(file, name, { ...(encoding !== undefined && { encoding }) })
    const { engine } = site
    await createAll(site, KEYS.slice(0, 1))
    const sent = statementsOf(site)
    for (const key of IMPOSSIBLE) {
      t.is(await engine.load(key), null)
      t.false(await engine.exists(key))
      await engine.delete(key)
      await t.throwsAsync(engine.delete(key, 'a revision'), { instanceOf: UpdateError })
      await t.throwsAsync(engine.update(key, visits(site, 1), 'a revision'), { instanceOf: UpdateError })
      const error = await t.throwsAsync(engine.create(key, visits(site, 1)), { code: 'ERR_SESSION_KEY' })
      t.false(error.message.includes(key), 'no error shows a key')
    }
    t.deepEqual(sent, [])
    t.is((await site.rows()).length, 1)
  })
}

/** A view in which a single row cannot be read. */
const POISONED: Readonly<Record<TestDatabaseName, string>> = {
  mariadb: "if(session_key = 'poison00', (select 'a' union all select 'b'), session_data)",
  mysql: "if(session_key = 'poison00', (select 'a' union all select 'b'), session_data)",
  postgresql:
    "case when session_key = 'poison00' then (1 / length(substr(session_key, 9)))::text else session_data end",
  sqlite: "case when session_key = 'poison00' then abs(-9223372036854775807 - 1) else session_data end",
}

for (const name of testDatabases) {
  test(`${name}: a row that the server refuses to read fails only its own request`, async (t) => {
    const site = await openDb(file, name)
    await createAll(site, [...KEYS, 'poison00'])
    await runScript(
      site.database.url,
      `ALTER TABLE django_session RENAME TO all_sessions;
      CREATE VIEW django_session AS SELECT session_key, ${POISONED[name]} AS session_data, expire_date
      FROM all_sessions`,
    )
    const sent = statementsOf(site)
    const loads = [...KEYS, 'poison00'].map((key) => outcome(site.engine.load(key)))
    t.deepEqual(await Promise.all(loads), [...KEYS.map(() => 'done'), REFUSED_ROW[name]])
    t.is(sent.length, 1 + KEYS.length + 1, 'together, then each by itself')
  })
}

const REFUSED_ROW: Readonly<Record<TestDatabaseName, string>> = {
  mariadb: 'ER_SUBQUERY_NO_1_ROW',
  mysql: 'ER_SUBQUERY_NO_1_ROW',
  postgresql: '22012',
  sqlite: 'SQLITE_ERROR',
}

for (const name of testDatabases) {
  test(`${name}: more keys than a statement may have are read by several`, async (t) => {
    const site = await openDb(file, name)
    const keys = Array.from({ length: 1500 }, (_, at) => `visitor${at}`)
    const sent = statementsOf(site)
    t.deepEqual(
      await Promise.all(keys.map((key) => site.engine.load(key))),
      keys.map(() => null),
    )
    t.true(sent.every(({ bindings }) => bindings.length <= 201))
    t.is(
      sent.reduce((sum, { bindings }) => sum + bindings.length - 1, 0),
      1500,
    )
  })
}

for (const name of ['mariadb', 'mysql', 'postgresql'] as const) {
  if (!testDatabases.includes(name)) continue

  test(`${name}: a lost connection fails all requests that shared the statement, once`, async (t) => {
    const site = await openDb(file, name)
    await createAll(site, KEYS)
    const blocker = await site.db.client.acquireConnection()
    t.teardown(() => site.db.client.releaseConnection(blocker))
    await site.db
      .raw(
        name === 'postgresql'
          ? 'begin; lock table django_session in access exclusive mode'
          : 'lock tables django_session write',
      )
      .connection(blocker)
    const sent = statementsOf(site)
    const loads = KEYS.map((key) => outcome(site.engine.load(key)))
    const victim = await waitForTableLockWait(site.database.url)
    await runSql(
      site.database.url,
      name === 'postgresql' ? `select pg_terminate_backend(${victim})` : `kill ${victim}`,
    )
    const outcomes = new Set(await Promise.all(loads))
    await site.db.raw(name === 'postgresql' ? 'rollback' : 'unlock tables').connection(blocker)
    t.is(outcomes.size, 1)
    t.false(outcomes.has('done'))
    t.is(sent.filter(({ sql }) => sql.startsWith('select session_key')).length, 1)
  })
}

/** What a site may have on its table, so that one row is refused: 500 characters are too many. */
const SITES_OWN: Readonly<Record<string, Partial<Record<TestDatabaseName, string>>>> = {
  'a constraint': everywhere(
    'ALTER TABLE django_session ADD CONSTRAINT small CHECK (length(session_data) < 500)',
  ),
  'a trigger': {
    ...onMysql(
      triggers('small', "BEGIN IF length(NEW.session_data) >= 500 THEN SIGNAL SQLSTATE '45000'; END IF; END"),
    ),
    postgresql: triggerFunction('small', "RAISE EXCEPTION 'too large'"),
  },
  // MySQL bounds no statement but a SELECT: there the connection is given up, and with it all its statement's rows.
  'a trigger that takes its time': {
    mariadb: triggers(
      'slow',
      'BEGIN IF length(NEW.session_data) >= 500 THEN SET @slept = SLEEP(60); END IF; END',
    ),
    postgresql: triggerFunction('slow', 'PERFORM pg_sleep(60)'),
  },
}

function everywhere(script: string): Partial<Record<TestDatabaseName, string>> {
  return { ...onMysql(script), postgresql: script }
}

function onMysql(script: string): Partial<Record<TestDatabaseName, string>> {
  return { mariadb: script, mysql: script }
}

function triggers(name: string, body: string): string {
  return ['INSERT', 'UPDATE']
    .map((verb) => `CREATE TRIGGER ${name}_${verb} BEFORE ${verb} ON django_session FOR EACH ROW ${body}`)
    .join(';')
}

function triggerFunction(name: string, statement: string): string {
  return `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF length(NEW.session_data) >= 500 THEN ${statement}; END IF; RETURN NEW; END $$;
    CREATE TRIGGER ${name} BEFORE INSERT OR UPDATE ON django_session FOR EACH ROW EXECUTE FUNCTION ${name}()`
}

for (const name of ['mariadb', 'mysql', 'postgresql'] as const) {
  if (!testDatabases.includes(name)) continue
  for (const [what, { [name]: script }] of Object.entries(SITES_OWN)) {
    if (script === undefined) continue

    test(`${name}: a row that ${what} refuses fails only its own request, and no row is written twice`, async (t) => {
      // Long enough for the other rows on a busy machine; the trigger sleeps longer.
      const site = await openDb(file, name, what.endsWith('time') ? { timeout: 5 } : {})
      await runScript(site.database.url, `${name === 'postgresql' ? AUDIT_OF_POSTGRESQL : AUDIT}; ${script}`)
      const poison = KEYS[7] ?? ''
      const others = KEYS.filter((key) => key !== poison)
      const large = { ...visits(site, 1), data: new Map([['note', JSON.stringify(noise(600))]]) }

      const created = KEYS.map((key) =>
        outcome(site.engine.create(key, key === poison ? large : visits(site, 1))),
      )
      const first = await Promise.all(created)
      t.deepEqual(
        first.map((one) => one === 'done'),
        KEYS.map((key) => key !== poison),
      )
      await site.engine.create(poison, visits(site, 1))
      const revisions = new Map(
        await Promise.all(
          KEYS.map(async (key) => [key, (await site.engine.load(key))?.revision ?? ''] as const),
        ),
      )
      const updated = KEYS.map((key) =>
        outcome(site.engine.update(key, key === poison ? large : visits(site, 2), revisions.get(key) ?? '')),
      )
      t.deepEqual(
        (await Promise.all(updated)).map((one) => one === 'done'),
        KEYS.map((key) => key !== poison),
      )
      // A table with transactions: what a refused statement put into it went with the statement.
      const audit = await site.db('audit').select('session_key', 'verb').orderBy(['session_key', 'verb'])
      t.deepEqual(
        audit.map((row: object) => ({ ...row })),
        [
          ...others.flatMap((session_key) => ['INSERT', 'UPDATE'].map((verb) => ({ session_key, verb }))),
          { session_key: poison, verb: 'INSERT' },
        ].sort((a, b) => (a.session_key + a.verb < b.session_key + b.verb ? -1 : 1)),
      )
      for (const row of await site.rows()) {
        const count = site.codec.decode(row.session_data).data.get('num_visits')
        t.is(count, row.session_key === poison ? '1' : '2')
      }
    })
  }
}

const AUDIT = `CREATE TABLE audit (session_key varchar(40), verb varchar(6));
  CREATE TRIGGER audit_insert AFTER INSERT ON django_session FOR EACH ROW
    INSERT INTO audit VALUES (NEW.session_key, 'INSERT');
  CREATE TRIGGER audit_update AFTER UPDATE ON django_session FOR EACH ROW
    INSERT INTO audit VALUES (NEW.session_key, 'UPDATE')`

const AUDIT_OF_POSTGRESQL = `CREATE TABLE audit (session_key varchar(40), verb varchar(6));
  CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO audit VALUES (NEW.session_key, TG_OP); RETURN NULL; END $$;
  CREATE TRIGGER audit AFTER INSERT OR UPDATE ON django_session FOR EACH ROW EXECUTE FUNCTION audit()`

const KEYS: readonly string[] = Array.from(
  { length: 49 },
  (_, at) => `${String(at).padStart(4, '0')}abcdefgh0123456789abcdefgh01`,
)

function visits({ clock }: DbUnderTest, count: number): NewSession {
  return {
    data: new Map([['num_visits', String(count)]]),
    expireDate: new Date(clock.now.getTime() + 3_600_000),
  }
}

/** Text that does not compress. */
function noise(length: number): string {
  let text = ''
  for (let seed = 1; text.length < length; seed = (seed * 48_271) % 2_147_483_647) text += seed.toString(36)
  return text.slice(0, length)
}

async function createAll(site: DbUnderTest, keys: readonly string[]): Promise<void> {
  await Promise.all(keys.map((key) => site.engine.create(key, visits(site, 1))))
}

interface Sent {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** The statements that are sent from now on. */
function statementsOf({ db }: DbUnderTest): Sent[] {
  const sent: Sent[] = []
  db.on('query', (statement: Sent) => sent.push(statement))
  return sent
}

/** 'done', or the code of its error. */
function outcome(answer: Promise<unknown>): Promise<unknown> {
  return answer.then(
    () => 'done',
    (error: Error) => ('code' in error ? error.code : error.message),
  )
}
