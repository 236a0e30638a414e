import test from 'ava'
import { meetings, takeTurn } from '../../interop/sites.ts'
import { plantSite, problems, secretKey } from './planted-site.ts'

const OLD_KEY = 'the key before the rotation'

for (const { version, database } of meetings) {
  test(`Django ${version} on ${database}: a healthy site gives no failure and no warning`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const zone = { mariadb: 'Asia/Seoul', mysql: 'Europe/Berlin', postgresql: 'Asia/Seoul', sqlite: 'UTC' }[
      database
    ]
    const settings = { USE_TZ: String(zone === 'UTC'), TIME_ZONE: zone }
    const site = await plantSite(t, { version, database, settings })
    t.deepEqual(problems(await site.examine()), [], 'an empty table')

    await site.saveHere(3)
    t.deepEqual(problems(await site.examine()), [], 'rows of ours alone')

    await site.django(`
save(3)
save(45, expiry=31536000)  # remember me
save(1, expiry=0)
log_in('reader')
with ago(1000000): save(2)
with ago(3000000): save(2)  # expired
save(1, note='x' * 300, words=['%d' % at for at in range(300)])
`)
    t.deepEqual(problems(await site.examine()), [], 'visitors of both sides')

    await site.saveHere(60)
    await site.sql(
      "UPDATE django_session SET expire_date = '2001-02-03 04:05:06' WHERE session_key LIKE 'a%'",
    )
    t.deepEqual(problems(await site.examine()), [], 'many rows of ours')
  })

  test(`Django ${version} on ${database}: changes in order give no failure and no warning`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await plantSite(t, { version, database })
    // Rows of a former key and age.
    await site.django('with ago(3600): save(5)', { SECRET_KEY: OLD_KEY, SESSION_COOKIE_AGE: '2419200' })
    const fallbacks = { DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([OLD_KEY]) }
    await site.saveHere(2, { now: new Date(Date.now() - 1800_000) })
    await site.django('save(3)', { SECRET_KEY: secretKey, SECRET_KEY_FALLBACKS: JSON.stringify([OLD_KEY]) })
    t.deepEqual(problems(await site.examine(fallbacks)), [], 'a rotation')
    t.deepEqual(problems(await site.examine()), [], 'a rotation whose old key is gone')
  })
}

for (const version of ['4.2', '5.2', '6.1']) {
  test(`Django ${version}: rows that Django 2.2 left before an upgrade give no failure and no warning`, async (t) => {
    await takeTurn(t)
    const old = await plantSite(t, { version: '2.2' })
    await old.django('with ago(172800): save(5)')
    const site = await plantSite(t, { version })
    for (const row of await old.sql('SELECT * FROM django_session'))
      await site.sql(
        `INSERT INTO django_session (session_key, session_data, expire_date) VALUES ('${row.session_key}', '${row.session_data}', '${row.expire_date}')`,
      )
    const migrated = new Date(Date.now() - 86_400_000).toISOString().replace('T', ' ').replace('Z', '000')
    await site.sql(
      `UPDATE django_migrations SET applied = '${migrated}' WHERE app = 'auth' AND name LIKE '0012%'`,
    )
    t.deepEqual(problems(await site.examine()), [], 'before the first visit')
    await site.django('save(3)')
    t.deepEqual(problems(await site.examine()), [], 'after it')
  })
}

test('sessions of another site, in another table of the same database, give no failure and no warning', async (t) => {
  const site = await plantSite(t, { version: '5.2' })
  await site.django('with ago(600): save(3)')
  await site.sql('CREATE TABLE other_session AS SELECT * FROM django_session WHERE 1 = 0')
  await site.django('save(3)', { SECRET_KEY: OLD_KEY })
  await site.sql('INSERT INTO other_session SELECT * FROM django_session ORDER BY expire_date DESC LIMIT 3')
  await site.sql('DELETE FROM django_session WHERE session_key IN (SELECT session_key FROM other_session)')
  t.deepEqual(problems(await site.examine()), [])
})
