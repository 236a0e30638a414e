import test from 'ava'
import { createDbEngine } from '../../src/engines/db.ts'
import { clearSessions, logoutUser, openDjangoSite, type SqlDatabase, userSessions } from '../../src/index.ts'
import { addUser, hashed } from '../auth/users.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { runSql, testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { openWith, sqlDrivers } from '../support/sql-drivers.ts'
import { type DbUnderTest, openDb, secretKey } from './db-under-test.ts'

const file = fileScope(test)
const KEY = 'abcdefgh0123456789abcdefgh012345'
const session = { data: new Map([['a', '1']]), expireDate: new Date('2036-11-23T09:25:12.345Z') }

function engineOn(db: SqlDatabase, { codec, dates, clock }: DbUnderTest) {
  return createDbEngine({ db, codec, dates, now: () => clock.now })
}

const siteOptions = (db: SqlDatabase) => ({ db, secretKeys: [secretKey] as const, djangoVersion: '5.2' })

for (const { driver, on } of sqlDrivers)
  for (const name of on.filter((one) => testDatabases.includes(one))) {
    conformance(`db engine on ${name} through ${driver}, set up oddly`, async () => {
      const site = await openDb(file, name)
      return { ...site, engine: engineOn(openWith(file, driver, site.database.url, { odd: true }), site) }
    })

    for (const odd of [false, true])
      test.serial(
        `a site on ${name} through ${driver}${odd ? ', set up oddly,' : ''} has sessions, users, permissions and maintenance`,
        async (t) => {
          const under = await openDb(t, name, { tables: 'library' })
          const id = await addUser(under, { username: 'ann', password: hashed('secret'), is_staff: true })
          await grant(under, id)
          const db = openWith(t, driver, under.database.url, { odd })
          const options = siteOptions(db)
          const site = openDjangoSite(options)
          t.is(await site.auth.authenticate({ username: 'nobody', password: 'secret' }), null)
          t.is(await site.auth.authenticate({ username: `ann' or ''='`, password: 'secret' }), null)
          const user = await site.auth.authenticate({ username: 'ann', password: 'secret' })
          t.like(user, { id: String(id), pk: id, isActive: true, isStaff: true, isSuperuser: false })
          if (user === null) return
          t.true(await user.hasPerm('auth.add_user'))
          t.false(await user.hasPerm('auth.delete_user'))

          const opened = await site.requests.open(undefined).session.load()
          await site.auth.login(opened, user)
          await opened.save()
          const [row] = await runSql(under.database.url, 'SELECT last_login FROM auth_user')
          t.truthy(row?.last_login, 'last_login is written')
          const visitor = await site.authenticate(`sessionid=${opened.sessionKey}`)
          t.is(visitor.user.getUsername(), 'ann')

          const list = await userSessions(options, { username: 'ann' })
          t.is(list.sessions.length, 1)
          t.is(list.sessions[0]?.expires.getTime(), (await storedExpiry(under)).getTime())
          t.like(await logoutUser(options, { username: 'ann' }), { deleted: 1 })
          await under.insert({ session_key: KEY, session_data: 'x', expire_date: '2020-01-01 00:00:00' })
          t.like(await clearSessions(options), { deleted: 1 })
          t.is(await under.count(), 0)
        },
      )

    test.serial(`forty sessions saved at once on ${name} through ${driver} are all stored`, async (t) => {
      const site = await openDb(t, name)
      const engine = engineOn(openWith(t, driver, site.database.url), site)
      const keys = Array.from({ length: 40 }, (_, at) => `visitor${at}`.padEnd(32, 'x'))
      const created = await Promise.all(keys.map((key) => engine.create(key, session)))
      const changed = { ...session, data: new Map([['a', '2']]) }
      await Promise.all(keys.map((key, at) => engine.update(key, changed, created[at]?.revision ?? '')))
      const found = await Promise.all(keys.map((key) => engine.load(key)))
      t.true(found.every((stored) => stored?.data.get('a') === '2'))
    })

    test.serial(`sessions in a DatabaseCache on ${name} through ${driver}`, async (t) => {
      const under = await openDb(t, name)
      const type = under.database.kind === 'postgresql' ? 'timestamp with time zone' : 'datetime'
      await under.db.raw(
        `CREATE TABLE our_cache (cache_key varchar(255) NOT NULL PRIMARY KEY, value ${under.database.kind === 'mysql' ? 'longtext' : 'text'} NOT NULL, expires ${type} NOT NULL)`,
      )
      const cache = {
        backend: 'django.core.cache.backends.db.DatabaseCache',
        location: ['our_cache'],
        keyPrefix: '',
        version: 1,
        options: {},
      }
      const engine = 'django.contrib.sessions.backends.cache'
      const db = openWith(t, driver, under.database.url, { odd: true })
      const site = openDjangoSite({ ...siteOptions(db), engine, cache })
      const first = await site.requests.open(undefined).session.load()
      first.set('n', 1)
      await first.save()
      const again = () => site.requests.open(`sessionid=${first.sessionKey}`).session.load()
      const second = await again()
      t.is(second.get('n'), 1)
      second.set('n', 2)
      await second.save()
      t.is((await again()).get('n'), 2)
      await (await again()).flush()
      t.false((await again()).has('n'))
      t.like(await clearSessions({ ...siteOptions(db), engine, cache }), { deleted: 0 })
    })
  }

async function grant({ db }: DbUnderTest, user_id: number): Promise<void> {
  const permission = await db('auth_permission').where('codename', 'add_user').first('id')
  await db('auth_user_user_permissions').insert({ user_id, permission_id: permission.id })
}

async function storedExpiry(site: DbUnderTest): Promise<Date> {
  const [row] = await site.rows()
  return site.dates.fromColumn(row?.expire_date ?? '')
}
