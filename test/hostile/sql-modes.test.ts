import { readFileSync } from 'node:fs'
import test from 'ava'
import knex from 'knex'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createDbEngine } from '../../src/engines/db.ts'
import { createQsessionsColumns } from '../../src/engines/extra-columns.ts'
import { runScript, testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { type DatabaseServer, startMariadb } from '../support/servers.ts'
import { openSite, SECRET_KEY, visit, watch } from './site.ts'

const file = fileScope(test)
let server: DatabaseServer

/** Cookies that end their SQL string if a backslash does not escape. */
const injections = [
  "abcdefgh'",
  "' OR 1=1 -- ",
  "' OR 1=1 LIMIT 1 -- ",
  "' UNION SELECT session_key, session_data, expire_date FROM django_session -- ",
  "' OR SLEEP(60) -- ",
  'abcdefgh\\',
  '" OR 1=1 -- ',
]

// mysql2 always escapes with backslashes, even if the server does not treat them as escapes.
if (testDatabases.includes('mariadb')) {
  test.before('a server starts with NO_BACKSLASH_ESCAPES', async () => {
    const modes = ['NO_BACKSLASH_ESCAPES', 'ANSI_QUOTES', 'STRICT_TRANS_TABLES']
    server = await startMariadb({ extraArguments: [`--sql-mode=${modes.join(',')}`] })
    file.teardown(() => server.stop())
    const schema = readFileSync(new URL('../support/schema/mariadb.sql', import.meta.url), 'utf8')
    await runScript(`${server.url}/mysql`, 'CREATE DATABASE django')
    await runScript(`${server.url}/django`, schema.split('-- The library')[0] ?? '')
    const codec = createSessionCodec({
      secretKeys: [SECRET_KEY],
      profile: versionProfile('5.2'),
      now: () => new Date(),
    })
    const data = codec.encode(new Map([['num_visits', '41']]))
    await runScript(
      `${server.url}/django`,
      `INSERT INTO django_session VALUES ('abcdefghijklmnopqrstuvwxyz012345', '${data}', '2999-01-01')`,
    )
  })

  for (const ours of [true, false]) {
    test(`no cookie becomes SQL with NO_BACKSLASH_ESCAPES, on ${ours ? 'a connection of ours' : 'any Knex'}`, async (t) => {
      const db = knex({ client: 'mysql2', connection: `${server.url}/django` })
      t.teardown(() => db.destroy())
      const site = await openSite(t, `${server.url}/django`, ours ? {} : { db })
      for (const injection of injections) {
        const cookie = `sessionid="${injection.replaceAll(/["\\]/g, '\\$&').replaceAll(';', '\\073')}"`
        const { result, changed, gone } = await watch(site, () => visit(site.url, cookie))
        t.is(result.status, 200, injection)
        t.is(result.visits, '1 time', injection)
        t.deepEqual({ changed, gone }, { changed: [], gone: [] })
      }
    })
  }

  test('no user agent becomes SQL with NO_BACKSLASH_ESCAPES, on any Knex', async (t) => {
    const db = knex({ client: 'mysql2', connection: `${server.url}/django` })
    t.teardown(() => db.destroy())
    await db.raw('CREATE TABLE qsessions_session LIKE django_session')
    await db.raw(
      'ALTER TABLE qsessions_session ADD user_id integer, ADD user_agent varchar(300), ADD ip char(39), ADD updated_at datetime(6), ADD created_at datetime(6)',
    )
    const now = () => new Date()
    const codec = createSessionCodec({ secretKeys: [SECRET_KEY], profile: versionProfile('5.2'), now })
    const dates = createDateColumn({ database: 'mysql', useTz: true, timeZone: 'UTC' })
    const columns = createQsessionsColumns(dates)
    const engine = createDbEngine({ db, codec, dates, table: 'qsessions_session', columns })
    const expireDate = new Date('2999-01-01')
    for (const [at, userAgent] of injections.entries()) {
      const session = { data: new Map(), expireDate, client: { userAgent, ip: null } }
      const { revision } = await engine.create(`abcdefgh${at}`, session)
      await engine.update(`abcdefgh${at}`, session, revision)
      const row = await db('qsessions_session').where('session_key', `abcdefgh${at}`).first()
      t.is(row.user_agent, userAgent)
    }
    t.is((await db('qsessions_session').select()).length, injections.length)
  })
}
