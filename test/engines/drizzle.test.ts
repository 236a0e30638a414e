import test, { type ExecutionContext } from 'ava'
import { eq } from 'drizzle-orm'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import * as my from 'drizzle-orm/mysql-core'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import * as pg from 'drizzle-orm/pg-core'
import * as lite from 'drizzle-orm/sqlite-core'
import mysqlPromise from 'mysql2/promise'
import { openDjangoSite, type SqlDatabase } from '../../src/index.ts'
import { addUser, hashed } from '../auth/users.ts'
import { type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { betterSqlite, mysqlPool, pgPool } from '../support/sql-drivers.ts'
import { openDb, secretKey } from './db-under-test.ts'

/** What a program's Drizzle does with a table that Django owns, whatever the dialect. */
interface Program {
  /** What the program gives to a site. */
  readonly client: SqlDatabase
  readonly orm: unknown
  usernames(): Promise<string[]>
  sessionKeys(): Promise<string[]>
  removeSession(key: string): Promise<unknown>
  /** Renames the user in a transaction, in which `work` runs, and rolls it back. */
  renameAndRollBack(work: () => Promise<void>): Promise<unknown>
}

const mySession = my.mysqlTable('django_session', { key: my.varchar('session_key', { length: 40 }) })
const myUser = my.mysqlTable('auth_user', { name: my.varchar('username', { length: 150 }) })
const pgSession = pg.pgTable('django_session', { key: pg.varchar('session_key') })
const pgUser = pg.pgTable('auth_user', { name: pg.varchar('username') })
const liteSession = lite.sqliteTable('django_session', { key: lite.text('session_key') })
const liteUser = lite.sqliteTable('auth_user', { name: lite.text('username') })

/** Rolls back; Drizzle then throws it. */
class RolledBack extends Error {}

const swallow = (error: unknown) => {
  if (!(error instanceof RolledBack)) throw error
}

function mysqlProgram(orm: Omit<ReturnType<typeof drizzleMysql>, '$client'>, client: SqlDatabase): Program {
  return {
    ...{ client, orm },
    usernames: async () => (await orm.select().from(myUser)).map(({ name }) => String(name)),
    sessionKeys: async () => (await orm.select().from(mySession)).map(({ key }) => String(key)),
    removeSession: (key) => orm.delete(mySession).where(eq(mySession.key, key)),
    renameAndRollBack: (work) =>
      orm
        .transaction(async (transaction) => {
          await transaction.update(myUser).set({ name: 'bob' })
          await work()
          throw new RolledBack()
        })
        .catch(swallow),
  }
}

/** How programs open their Drizzle. */
const programs: readonly {
  readonly name: string
  readonly on: readonly TestDatabaseName[]
  readonly open: (t: ExecutionContext, url: string) => Program
}[] = [
  {
    name: 'a pool of mysql2',
    on: ['mariadb', 'mysql'],
    open(t, url) {
      const pool = mysqlPool(t, url)
      return mysqlProgram(drizzleMysql(pool), pool)
    },
  },
  {
    name: 'a pool of mysql2/promise',
    on: ['mariadb', 'mysql'],
    open(t, url) {
      const pool = mysqlPromise.createPool(url)
      t.teardown(() => pool.end())
      return mysqlProgram(drizzleMysql(pool), pool)
    },
  },
  {
    name: 'a URL of MySQL',
    on: ['mariadb', 'mysql'],
    open(t, url) {
      const orm = drizzleMysql(url)
      t.teardown(() => orm.$client.promise().end())
      return mysqlProgram(orm, orm.$client)
    },
  },
  {
    name: 'a pool of pg',
    on: ['postgresql'],
    open(t, url) {
      const orm = drizzlePg(pgPool(t, url))
      return {
        ...{ client: orm.$client, orm },
        usernames: async () => (await orm.select().from(pgUser)).map(({ name }) => String(name)),
        sessionKeys: async () => (await orm.select().from(pgSession)).map(({ key }) => String(key)),
        removeSession: (key) => orm.delete(pgSession).where(eq(pgSession.key, key)),
        renameAndRollBack: (work) =>
          orm
            .transaction(async (transaction) => {
              await transaction.update(pgUser).set({ name: 'bob' })
              await work()
              throw new RolledBack()
            })
            .catch(swallow),
      }
    },
  },
  {
    name: 'a database of better-sqlite3',
    on: ['sqlite'],
    open(t, url) {
      const client = betterSqlite(t, url)
      const orm = drizzleSqlite(client as never)
      return {
        ...{ client, orm },
        usernames: async () =>
          orm
            .select()
            .from(liteUser)
            .all()
            .map(({ name }) => String(name)),
        sessionKeys: async () =>
          orm
            .select()
            .from(liteSession)
            .all()
            .map(({ key }) => String(key)),
        removeSession: async (key) => orm.delete(liteSession).where(eq(liteSession.key, key)).run(),
        // A transaction of better-sqlite3 has no pause in which another statement could run.
        async renameAndRollBack(work) {
          try {
            orm.transaction((transaction) => {
              transaction.update(liteUser).set({ name: 'bob' }).run()
              throw new RolledBack()
            })
          } catch (error) {
            swallow(error)
          }
          await work()
        },
      }
    },
  },
]

for (const { name, on, open } of programs)
  for (const database of on.filter((one) => testDatabases.includes(one)))
    test(`a site on what Drizzle was opened with, ${name}, on ${database}`, async (t) => {
      const under = await openDb(t, database, { tables: 'library' })
      await addUser(under, { username: 'ann', password: hashed('secret') })
      const program = open(t, under.database.url)
      const options = { secretKeys: [secretKey] as const, djangoVersion: '5.2' }
      t.throws(() => openDjangoSite({ ...options, db: program.orm as never }), {
        instanceOf: TypeError,
        message: /db is a Drizzle database: pass what it was made with, db\.\$client;/,
      })
      const site = openDjangoSite({ ...options, db: program.client })
      t.teardown(() => site.close())

      const user = await site.auth.authenticate({ username: 'ann', password: 'secret' })
      const session = await site.open(undefined).session.load()
      if (user === null) return t.fail('ann is not authenticated')
      await site.auth.login(session, user)
      session.set('name', '홍길동 😀')
      await session.save()
      const { sessionKey } = session
      t.deepEqual(await program.sessionKeys(), [sessionKey])
      t.deepEqual(await program.usernames(), ['ann'])

      const visit = () => site.authenticate(`sessionid=${sessionKey}`)
      await program.renameAndRollBack(async () => {
        const visitor = await visit()
        visitor.session.set('visits', 2)
        await visitor.session.save()
      })
      const visitor = await visit()
      t.is(visitor.user.getUsername(), 'ann')
      t.is(visitor.session.get('visits'), 2)
      t.is(visitor.session.get('name'), '홍길동 😀')

      await program.removeSession(sessionKey ?? '')
      t.false((await visit()).user.isAuthenticated)
      t.is(await under.count(), 0)
    })
