import test from 'ava'
import { measureClockSkew } from '../../../src/service/database/clock-skew.ts'
import { databaseKindOf } from '../../../src/sql/dialect.ts'
import { createTestDatabase, testDatabases } from '../../support/databases.ts'
import { openUrl } from '../../support/library.ts'

const SET_ZONE = {
  mysql: "SET time_zone = '+09:00'",
  postgresql: "SET TIME ZONE 'Asia/Seoul'",
  sqlite: 'SELECT 1',
}

for (const name of testDatabases) {
  test(`the clock of ${name} is compared with this machine's, whatever the time zone of the connection`, async (t) => {
    const { url } = await createTestDatabase(t, name)
    const db = openUrl(t, url)
    const kind = databaseKindOf(db)
    const isAbout = (seconds: number, expected: number) =>
      t.true(Math.abs(seconds - expected) < 30, `${seconds} s, not ${expected} s`)
    for (const zone of ['SELECT 1', SET_ZONE[kind]]) {
      await db.raw(zone)
      isAbout(await measureClockSkew(db, kind), 0)
      const now = () => new Date(Date.now() + 3600_000)
      isAbout(await measureClockSkew(db, kind, { now }), -3600)
    }
  })
}

test('the round trip is halved', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  const times = [0, 2000].map((milliseconds) => new Date(Date.now() + milliseconds))
  const skew = await measureClockSkew(openUrl(t, url), 'sqlite', { now: () => times.shift() ?? new Date(0) })
  t.true(Math.abs(skew + 1) < 0.9, `${skew}`)
})
