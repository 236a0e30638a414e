import test from 'ava'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createTestDatabase, runSql, type TestDatabaseName } from '../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../support/django.ts'
import { startService } from '../support/service.ts'
import { meetings, secretKey, serviceEnvironment, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

/** Seconds; shorter than the offsets of the time zones. */
const AGE = 1800

/** Django 2.2 rejects the setting on PostgreSQL; later versions still store instants there. */
const zoneOf: Readonly<Partial<Record<TestDatabaseName, string>>> = {
  mariadb: 'Asia/Seoul',
  mysql: 'America/St_Johns',
  sqlite: 'America/St_Johns',
}

for (const { version, database } of meetings) {
  const zone = zoneOf[database]
  if (zone === undefined) continue

  test(`with TIME_ZONE ${zone} in DATABASES, Django ${version} and ours mean the same time on ${database}`, async (t) => {
    await takeTurn(t)
    const settings = {
      USE_TZ: 'true',
      TIME_ZONE: 'Europe/Berlin',
      DATABASE_TIME_ZONE: zone,
      SESSION_COOKIE_AGE: String(AGE),
    }
    const { django, ours, databaseUrl } = await startSites(t, { version, database, settings })
    const column = database === 'sqlite' ? 'expire_date' : 'CAST(expire_date AS CHAR)'
    const rows = () => runSql(databaseUrl, `SELECT session_key, ${column} AS expire_date FROM django_session`)
    const wallClock = wallClockOf(zone)
    const [one, other] = [createVisitor(), createVisitor()]
    for (const [at, site] of [django, ours, django, ours].entries()) {
      const before = wallClock(Date.now() + AGE * 1000)
      t.is(await one.visit(site), at + 1)
      const after = wallClock(Date.now() + AGE * 1000)
      const [row, ...more] = await rows()
      t.deepEqual(more, [])
      const expireDate = String(row?.expire_date).slice(0, after.length)
      t.true(before <= expireDate && expireDate <= after, `${before} ${expireDate} ${after}`)
    }

    t.is(await other.visit(ours), 1)
    const update = `UPDATE django_session SET expire_date = '${wallClock(Date.now() - 60_000)}' WHERE session_key = '${other.cookie()}'`
    await runSql(databaseUrl, update)
    const expired = other.cookie()
    t.is(await other.visit(ours), 1)
    t.not(other.cookie(), expired)
    const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, ...settings }
    const script = 'from django.core.management import call_command; call_command("clearsessions")'
    await djangoShell(version, { env, script })
    t.is((await rows()).length, 2)
    t.is(await one.visit(ours), 5)
    t.is(await other.visit(django), 2)

    // Dates of users, too: for Django, a login here happened a moment ago.
    const people = `
from django.contrib.auth import get_user_model
from django.utils import timezone
User = get_user_model()`
    await djangoShell(version, {
      env,
      script: `${people}\nUser.objects.create_user('reader', password='secret')`,
    })
    const page = await (await one.fetch(`${ours}/accounts/login/`)).text()
    const [, token = ''] = /name="csrfmiddlewaretoken" value="([^"]+)"/.exec(page) ?? []
    const body = new URLSearchParams({ csrfmiddlewaretoken: token, username: 'reader', password: 'secret' })
    t.is((await one.fetch(`${ours}/accounts/login/`, { method: 'POST', body })).status, 302)
    const age = await djangoShell(version, {
      env,
      script: `${people}\nprint((timezone.now() - User.objects.get().last_login).total_seconds())`,
    })
    t.true(Math.abs(Number(age)) < 120, age)
  })
}

for (const { version, database } of meetings.filter(
  (one) => one.database === 'postgresql' && one.version !== '2.2',
)) {
  test(`with TIME_ZONE in DATABASES, Django ${version} and ours still store instants on ${database}`, async (t) => {
    await takeTurn(t)
    const settings = { DATABASE_TIME_ZONE: 'Asia/Seoul', SESSION_COOKIE_AGE: String(AGE) }
    const { django, ours, databaseUrl } = await startSites(t, { version, database, settings })
    const visitor = createVisitor()
    for (const [at, site] of [django, ours, django, ours].entries()) {
      t.is(await visitor.visit(site), at + 1)
      const [row] = await runSql(
        databaseUrl,
        'SELECT extract(epoch FROM expire_date - now()) AS age FROM django_session',
      )
      t.true(Number(row?.age) > AGE - 300 && Number(row?.age) <= AGE, String(row?.age))
    }
  })
}

// Django before 4.0 writes the dates of a cache in UTC and reads them in this time zone, so its own sessions end at a
// different time.
for (const { version, database } of meetings.filter(
  (one) => Number(one.version) >= 4 && zoneOf[one.database],
)) {
  test(`sessions in a DatabaseCache of Django ${version} on ${database} last as long under TIME_ZONE in DATABASES`, async (t) => {
    await takeTurn(t)
    const settings = {
      DATABASE_TIME_ZONE: zoneOf[database] ?? '',
      SESSION_COOKIE_AGE: String(AGE),
      SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
      CACHES: JSON.stringify({
        default: { BACKEND: 'django.core.cache.backends.db.DatabaseCache', LOCATION: 'cache' },
      }),
    }
    const { url } = await createTestDatabase(t, database, { tables: 'library' })
    const env = { SECRET_KEY: secretKey, DATABASE_URL: url, ...settings }
    const script = 'from django.core.management import call_command; call_command("createcachetable")'
    await djangoShell(version, { env, script })
    const django = await startDjango(t, { version, secretKey, databaseUrl: url, settings })
    const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl: url, settings }) })
    const visitor = createVisitor()
    for (const [at, site] of [django.url, ours.url, django.url, ours.url].entries())
      t.is(await visitor.visit(site), at + 1)
    const column = database === 'sqlite' ? 'expires' : 'CAST(expires AS CHAR)'
    const [row] = await runSql(url, `SELECT ${column} AS expires FROM cache`)
    const wallClock = wallClockOf(zoneOf[database] ?? '')
    const expires = String(row?.expires).slice(0, 19)
    t.true(
      wallClock(Date.now() + (AGE - 300) * 1000) <= expires && expires <= wallClock(Date.now() + AGE * 1000),
    )
  })
}

/** An hour that the clock skips, and one that it repeats. */
const EDGES = {
  'Europe/Berlin': [
    '2031-03-30T00:30',
    '2031-03-30T01:30',
    '2031-10-26T00:30',
    '2031-10-26T01:30',
    '2031-10-26T02:30',
  ],
  'America/St_Johns': [
    '2031-03-09T05:00',
    '2031-03-09T06:00',
    '2031-11-02T04:00',
    '2031-11-02T05:00',
    '2031-11-02T06:00',
  ],
}

for (const [index, version] of djangoVersions.entries()) {
  const database = (['sqlite', 'mariadb', 'mysql'] as const)[index % 3] ?? 'sqlite'
  if (!meetings.some((one) => one.database === database)) continue
  for (const [zone, instants] of Object.entries(EDGES)) {
    test(`Django ${version} on ${database} and ours write and read the clock changes of ${zone} alike`, async (t) => {
      await takeTurn(t)
      const { url } = await createTestDatabase(t, database)
      const env = { DATABASE_URL: url, USE_TZ: 'true', DATABASE_TIME_ZONE: zone }
      // In an hour that occurs twice, Django reads the first instant; with pytz it fails.
      const script = `
import json, sys
from datetime import datetime
from django.contrib.sessions.models import Session
from django.utils import timezone
for at, text in enumerate(json.load(sys.stdin)):
    instant = timezone.make_aware(datetime.fromisoformat(text), timezone.get_default_timezone())
    Session.objects.create(session_key=str(at), session_data='', expire_date=instant)
    try:
        print(int(Session.objects.get(session_key=str(at)).expire_date.timestamp()))
    except Exception as error:
        print(type(error).__name__)`
      const lines = await djangoShell(version, { env, script, input: JSON.stringify(instants) })
      const read = lines.trim().split('\n')
      t.is(read.length, instants.length)
      const column = database === 'sqlite' ? 'expire_date' : 'CAST(expire_date AS CHAR)'
      const rows = await runSql(url, `SELECT ${column} AS text FROM django_session ORDER BY session_key`)
      const dates = createDateColumn({
        database: database === 'sqlite' ? 'sqlite' : 'mysql',
        useTz: true,
        timeZone: 'Asia/Seoul',
        databaseTimeZone: zone,
      })
      for (const [at, instant] of instants.entries()) {
        const text = String(rows[at]?.text)
        t.is(dates.toColumn(new Date(`${instant}Z`)), text)
        const ours = dates.fromColumn(text).getTime() / 1000
        if (read[at] === 'AmbiguousTimeError') t.true(Number(version) < 4)
        else t.is(String(ours), read[at] ?? '')
      }
    })
  }
}

/** The wall clock time of an instant in this time zone, as `2031-02-03 04:05:06`. */
function wallClockOf(timeZone: string): (milliseconds: number) => string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  return (milliseconds) => format.format(milliseconds)
}
