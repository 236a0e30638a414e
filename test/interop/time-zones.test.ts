import test from 'ava'
import { runSql, type TestDatabaseName } from '../support/databases.ts'
import { djangoShell } from '../support/django.ts'
import { meetings, secretKey, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

/** Seconds; shorter than the offsets of the time zones. */
const AGE = 1800

const zoneOf: Readonly<Record<TestDatabaseName, string>> = {
  mariadb: 'Asia/Seoul',
  mysql: 'Europe/Berlin',
  postgresql: 'Asia/Seoul',
  sqlite: 'Europe/Berlin',
}

for (const { version, database } of meetings) {
  const timeZone = zoneOf[database]
  test(`with USE_TZ=False in ${timeZone}, Django ${version} and ours mean the same time on ${database}`, async (t) => {
    await takeTurn(t)
    const settings = { USE_TZ: 'false', TIME_ZONE: timeZone, SESSION_COOKIE_AGE: String(AGE) }
    const { django, ours, databaseUrl } = await startSites(t, { version, database, settings })
    const wallClock = wallClockOf(timeZone)
    const [one, other] = [createVisitor(), createVisitor()]
    const column = {
      postgresql: `to_char(expire_date AT TIME ZONE '${timeZone}', 'YYYY-MM-DD HH24:MI:SS')`,
      sqlite: 'expire_date',
      mariadb: 'CAST(expire_date AS CHAR)',
      mysql: 'CAST(expire_date AS CHAR)',
    }[database]
    const expireDates = () =>
      runSql(databaseUrl, `SELECT session_key, ${column} AS expire_date FROM django_session`)

    for (const [at, site] of [django, ours, django, ours].entries()) {
      const before = wallClock(Date.now() + AGE * 1000)
      t.is(await one.visit(site), at + 1)
      const after = wallClock(Date.now() + AGE * 1000)
      const [row, ...more] = await expireDates()
      t.deepEqual(more, [])
      const expireDate = String(row?.expire_date).slice(0, after.length)
      t.true(before <= expireDate && expireDate <= after, `${before} ${expireDate} ${after}`)
    }

    t.is(await other.visit(ours), 1)
    // It ended a minute ago in this time zone; in another it would end hours later.
    const past = wallClock(Date.now() - 60_000) + (database === 'postgresql' ? ` ${timeZone}` : '')
    const update = `UPDATE django_session SET expire_date = '${past}' WHERE session_key = '${other.cookie()}'`
    await runSql(databaseUrl, update)
    const expired = other.cookie()
    t.is(await other.visit(ours), 1)
    t.not(other.cookie(), expired)
    t.is((await expireDates()).length, 3)
    const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, ...settings }
    const script = 'from django.core.management import call_command; call_command("clearsessions")'
    await djangoShell(version, { env, script })
    t.is((await expireDates()).length, 2)
    t.is(await one.visit(ours), 5)
    t.is(await other.visit(django), 2)
  })
}

/** The wall clock time of an instant in this time zone, as `2031-02-03 04:05:06`. */
function wallClockOf(timeZone: string): (milliseconds: number) => string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  return (milliseconds) => format.format(milliseconds)
}
