import test from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { firstNamed, type PlantedSite, plantSite, problems, versions } from './planted-site.ts'

/** Django before 3.1 writes no time stamp. */
const stamped = versions.filter((version) => version !== '2.2')
/** Those that store wall clock times, by turns; instants have no time zone. */
const wallClocks = testDatabases.filter((name) => name !== 'postgresql')

interface Fault {
  readonly name: string
  readonly databases: readonly TestDatabaseName[]
  /** Settings of the Django site. */
  readonly site: Readonly<Record<string, string>>
  readonly plant?: (site: PlantedSite) => Promise<unknown>
  /** Settings of ours that differ. */
  readonly ours: Readonly<Record<string, string>>
  /** All that are named, in order. */
  readonly named: readonly RegExp[]
}

const visits = (site: PlantedSite) => site.django('save(3)')

const faults: readonly Fault[] = [
  {
    name: 'USE_TZ=False in Asia/Seoul at Django only',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul' },
    ours: { USE_TZ: 'True', TIME_ZONE: 'Asia/Seoul' },
    named: [/^sessions\.E020: set USE_TZ=False and TIME_ZONE=Asia\/Seoul; /],
  },
  {
    name: 'nine hours east, in a zone that no setting names',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Tokyo' },
    ours: { USE_TZ: 'True', TIME_ZONE: '' },
    named: [
      /^sessions\.E020: set USE_TZ=False and TIME_ZONE=Asia\/Seoul \(.*, e\.g\. Asia\/Seoul, Asia\/Tokyo\)/,
    ],
  },
  {
    name: 'USE_TZ=False here only',
    databases: wallClocks,
    site: { USE_TZ: 'true', TIME_ZONE: 'Asia/Seoul' },
    ours: { USE_TZ: 'False' },
    named: [/^sessions\.E020: set USE_TZ=True, and leave DATABASE_TIME_ZONE empty$/],
  },
  {
    name: 'another TIME_ZONE',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Kathmandu' },
    ours: { TIME_ZONE: 'Pacific/Auckland' },
    named: [/^sessions\.E020: set USE_TZ=False and TIME_ZONE=Asia\/Kathmandu /],
  },
  {
    name: "the database's own TIME_ZONE at Django only",
    databases: wallClocks,
    site: { USE_TZ: 'true', TIME_ZONE: 'Europe/Berlin', DATABASE_TIME_ZONE: 'Asia/Kolkata' },
    ours: { DATABASE_TIME_ZONE: '' },
    named: [/^sessions\.E020: .*USE_TZ=True and DATABASE_TIME_ZONE=Asia\/Kolkata/],
  },
  {
    name: "the database's own TIME_ZONE here only",
    databases: wallClocks,
    site: { USE_TZ: 'true', TIME_ZONE: 'Europe/Berlin' },
    ours: { DATABASE_TIME_ZONE: 'Asia/Kolkata' },
    named: [/^sessions\.E020: set USE_TZ=True, and leave DATABASE_TIME_ZONE empty$/],
  },
  {
    name: 'a SESSION_COOKIE_AGE of a minute',
    databases: testDatabases,
    site: { SESSION_COOKIE_AGE: '60' },
    ours: { SESSION_COOKIE_AGE: '' },
    named: [/^sessions\.E021: set SESSION_COOKIE_AGE=60$/],
  },
  {
    name: 'a SESSION_COOKIE_AGE here only, which hides the rows of Django behind our own',
    databases: testDatabases,
    site: {},
    async plant(site) {
      await visits(site)
      await site.saveHere(60, { ours: { SESSION_COOKIE_AGE: '31536000' } })
    },
    ours: { SESSION_COOKIE_AGE: '31536000' },
    named: [/^sessions\.E021: set SESSION_COOKIE_AGE=1209600$/],
  },
  {
    name: 'an hour of age nine hours east',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul', SESSION_COOKIE_AGE: '3600' },
    ours: { USE_TZ: 'True', TIME_ZONE: 'Asia/Seoul', SESSION_COOKIE_AGE: '' },
    named: [
      /^sessions\.E020: set USE_TZ=False and TIME_ZONE=Asia\/Seoul; /,
      /^sessions\.E021: set SESSION_COOKIE_AGE=3600$/,
    ],
  },
  {
    name: 'an hour of age nine hours east, where one setting of ten hours would do the same',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul', SESSION_COOKIE_AGE: '3600' },
    ours: { USE_TZ: 'True', TIME_ZONE: '', SESSION_COOKIE_AGE: '' },
    named: [
      /^sessions\.E021: set SESSION_COOKIE_AGE=36000; or, .*SESSION_COOKIE_AGE=3600 with USE_TZ=False and TIME_ZONE=Asia\/Seoul or another zone of UTC\+09:00$/,
    ],
  },
  {
    name: 'nine hours east by the sessions that have an expiry of their own, and an age of ten hours',
    databases: wallClocks,
    site: { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul', SESSION_COOKIE_AGE: '36000' },
    plant: (site) => site.django('save(2); save(2, expiry=2592000)'),
    ours: { USE_TZ: 'True', TIME_ZONE: '', SESSION_COOKIE_AGE: '' },
    named: [
      /^sessions\.E020: set USE_TZ=False and TIME_ZONE=Asia\/Seoul /,
      /^sessions\.E021: set SESSION_COOKIE_AGE=36000$/,
    ],
  },
]

for (const { name, databases, site: settings, plant = visits, ours, named } of faults) {
  for (const [turn, version] of stamped.entries()) {
    const database = databases[turn % databases.length] ?? 'sqlite'
    test(`Django ${version} on ${database}: the doctor names ${name}`, async (t) => {
      await takeTurn(t)
      const site = await plantSite(t, { version, database, settings })
      await plant(site)
      // Both sides use the table.
      await site.saveHere(5, { ours })
      const findings = await site.examine(ours)
      t.regex(firstNamed(findings), named[0] ?? /^$/)
      const found = problems(findings).map((one) => firstNamed([one]))
      t.is(found.length, named.length, found.join('\n'))
      for (const [at, pattern] of named.entries()) t.regex(found[at] ?? '', pattern)
    })
  }
}

test('what is found says how long after its save a session ends', async (t) => {
  const version = stamped.at(-1) ?? ''
  const site = await plantSite(t, { version, settings: { USE_TZ: 'false', TIME_ZONE: 'America/Phoenix' } })
  await visits(site)
  const [first] = problems(await site.examine({ USE_TZ: 'True', TIME_ZONE: '' }))
  t.regex(
    first?.result.outcome === 'failed' ? first.result.read : '',
    /^the newest 3 sessions of Django end 11844(?:00|01) s after they were saved; their expire_date is in UTC-07:00, e\.g\. /,
  )
})

test('rows of Django 2.2 have no time stamp, so times are skipped', async (t) => {
  const site = await plantSite(t, { version: '2.2', settings: { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul' } })
  await visits(site)
  const findings = await site.examine({ USE_TZ: 'True', TIME_ZONE: '' })
  t.deepEqual(problems(findings), [])
  const { result } = findings.find(({ id }) => id === 'sessions.E020') ?? {}
  t.regex(
    result?.outcome === 'skipped' ? result.because : '',
    /format of Django before 3\.1 have no time stamp/,
  )
})
