import test from 'ava'
import { canonicalize } from '../../src/django/json.ts'
import { runSql, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { inCi } from '../support/places.ts'
import { meetings, secretKey, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

/** Values that JavaScript's JSON would change, as Python's json.dumps prints them. */
const DELICATE = canonicalize(`{
  "10": "first", "2": "second", "1": [], "__proto__": {"constructor": null, "7": 1, "3": 2},
  "toString": "x", "": "empty",
  "ints": [9007199254740993, -9007199254740993, 18446744073709551617, 0, -0, ${'123456789'.repeat(12)}],
  "floats": [1.0, -0.0, 0.1, 1e22, 1e16, 1e15, 1e-7, 5e-324, 1.7976931348623157e308, 123456789012345680.0],
  "beyond": [NaN, Infinity, -Infinity],
  "texts": ["홍길동", "😀", "\\ud83d", "\\ude00\\ud83d", "\\u0000\\u001f\\u007f\\u0080", "é\\"\\\\/<>&'", "\\u2028"],
  "홍": {"😀": [[], {}, [null, true, false]]},
  "expand": "${'a'.repeat(300)}"
}`)

for (const { version, database } of meetings) {
  test(`Django ${version} and ours count one visitor's visits together on ${database}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const sites = await startSites(t, { version, database, migrate: true })
    const { django, ours, databaseUrl } = sites
    const keys = async () => {
      const rows = await runSql(databaseUrl, 'SELECT session_key FROM django_session')
      return sorted(rows.map((row) => row.session_key))
    }

    // Created by Django, continued by ours, and so on.
    const one = createVisitor()
    for (const [at, site] of [django, ours, django, ours, ours, django, django, ours].entries())
      t.is(await one.visit(site), at + 1)
    t.deepEqual(await keys(), [one.cookie()])

    // Created by ours.
    const other = createVisitor()
    for (const [at, site] of [ours, django, ours, django].entries()) t.is(await other.visit(site), at + 1)
    t.deepEqual(await keys(), sorted([one.cookie(), other.cookie()]))
    t.is(await one.visit(django), 9)

    // Other values that Django stored in the session stay unchanged, byte for byte.
    const set = await one.fetch(`${django}/_test/session`, { method: 'POST', body: DELICATE })
    const before = await set.text()
    t.is(before, `{"num_visits":9,${DELICATE.slice(1)}`)
    t.is(await one.visit(ours), 10)
    const after = await (await one.fetch(`${django}/_test/session`)).text()
    t.is(after, before.replace('"num_visits":9', '"num_visits":10'))

    // Counting is exact beyond the range of a double.
    const body = '{"num_visits": 9007199254740992}'
    await one.fetch(`${django}/_test/session`, { method: 'POST', body })
    t.is((await one.fetch(`${ours}/catalog/`)).status, 200)
    t.regex(await (await one.fetch(`${django}/_test/session`)).text(), /"num_visits":9007199254740993,/)

    // clearsessions distinguishes our rows from expired ones.
    const expire = "UPDATE django_session SET expire_date = '2001-02-03 04:05:06' WHERE session_key ="
    await runSql(databaseUrl, `${expire} '${other.cookie()}'`)
    const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl }
    const script = 'from django.core.management import call_command; call_command("clearsessions")'
    await djangoShell(version, { env, script })
    t.deepEqual(await keys(), [one.cookie()])
    t.is(await other.visit(ours), 1)
    t.is(await other.visit(django), 2)

    t.deepEqual(
      sites.service.log().filter(({ level }) => Number(level) > 30),
      [],
    )
    t.is(await sites.service.stop(), 0)
  })
}

test('visits are tested on every database of this run, and in CI on all databases', (t) => {
  for (const database of testDatabases) t.true(meetings.some((meeting) => meeting.database === database))
  if (inCi) t.true(meetings.length >= 2 * 5 + 2 && djangoVersions.length === 5)
})

function sorted(texts: readonly unknown[]): string[] {
  return texts.map(String).toSorted((a, b) => a.localeCompare(b))
}
