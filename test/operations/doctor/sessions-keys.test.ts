import test from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { firstNamed, type PlantedSite, plantSite, problems, secretKey, versions } from './planted-site.ts'

interface Fault {
  readonly name: string
  readonly versions?: readonly string[]
  /** Settings of the Django site. */
  readonly site?: Readonly<Record<string, string>>
  readonly plant: (site: PlantedSite, version: string) => Promise<unknown>
  /** Settings of ours that differ. */
  readonly ours?: (version: string) => Readonly<Record<string, string>>
  readonly named: RegExp
}

const NEW_KEY = 'a key that only one side knows'
const isLegacy = (version: string) => version === '2.2'
const withFallbacks = versions.filter((version) => !isLegacy(version))
const visits = (site: PlantedSite) => site.django('save(3)')

const faults: readonly Fault[] = [
  {
    name: 'another SECRET_KEY',
    plant: visits,
    ours: () => ({ DJANGO_SECRET_KEY: NEW_KEY }),
    named: /^sessions\.E010: set DJANGO_SECRET_KEY to SECRET_KEY /,
  },
  {
    name: 'another SECRET_KEY, under which our own rows are in the majority',
    async plant(site) {
      await visits(site)
      await site.saveHere(60, { ours: { DJANGO_SECRET_KEY: NEW_KEY } })
    },
    ours: () => ({ DJANGO_SECRET_KEY: NEW_KEY }),
    named: /^sessions\.E010: set DJANGO_SECRET_KEY to SECRET_KEY /,
  },
  {
    name: 'another SECRET_KEY, with users logged in',
    plant: (site) => site.django("log_in('reader')"),
    ours: () => ({ DJANGO_SECRET_KEY: NEW_KEY }),
    named: /^sessions\.E010: /,
  },
  {
    name: 'a SECRET_KEY copied with its quotation marks',
    plant: visits,
    ours: () => ({ DJANGO_SECRET_KEY: `'${secretKey}'` }),
    named: /^sessions\.E010: set DJANGO_SECRET_KEY .* without quotation marks /,
  },
  {
    name: 'a key rotated at Django only',
    async plant(site) {
      await site.django('with ago(3600): save(3)')
      await site.django('save(1)', { SECRET_KEY: NEW_KEY })
    },
    named: /^sessions\.E011: .*set DJANGO_SECRET_KEY to the new SECRET_KEY, and DJANGO_SECRET_KEY_FALLBACKS /,
  },
  {
    name: 'a key rotated here only',
    versions: withFallbacks,
    async plant(site) {
      await site.django('with ago(3600): save(1)')
      await site.saveHere(2, { ours: { DJANGO_SECRET_KEY: NEW_KEY }, now: new Date(Date.now() - 1800_000) })
      await site.django('save(1)')
    },
    ours: () => ({ DJANGO_SECRET_KEY: NEW_KEY, DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([secretKey]) }),
    named: /^sessions\.W010: set SECRET_KEY of the Django site to DJANGO_SECRET_KEY/,
  },
  {
    name: 'another class of the session store, which is a known one',
    plant: visits,
    ours: () => ({ SESSION_STORE_CLASS: 'AccountStore' }),
    named: /^sessions\.E012: leave SESSION_STORE_CLASS empty$/,
  },
  {
    name: 'another class of the session store, which no package has',
    plant: (site) =>
      site.django(`
from django.contrib.sessions.backends import db
class LibraryOfAlexandria(db.SessionStore): pass
store = LibraryOfAlexandria
log_in('reader')`),
    named: /^sessions\.E012: set SESSION_STORE_CLASS to the name /,
  },
  {
    name: 'another DJANGO_VERSION',
    plant: visits,
    ours: (version) => ({ DJANGO_VERSION: isLegacy(version) ? '5.2' : '2.2' }),
    named: /^sessions\.E013: set DJANGO_VERSION /,
  },
  {
    name: 'a DJANGO_VERSION that is guessed wrong, since the migrations were not run',
    versions: withFallbacks,
    async plant(site) {
      await site.sql("DELETE FROM django_migrations WHERE app = 'auth' AND name LIKE '0012%'")
      await visits(site)
    },
    ours: () => ({ DJANGO_VERSION: '' }),
    named: /^sessions\.E013: set DJANGO_VERSION /,
  },
  {
    name: 'DEFAULT_HASHING_ALGORITHM at Django only',
    versions: ['3.2'],
    site: { DEFAULT_HASHING_ALGORITHM: 'sha1' },
    plant: visits,
    ours: () => ({ DEFAULT_HASHING_ALGORITHM: '' }),
    named: /^sessions\.E013: .*DEFAULT_HASHING_ALGORITHM=sha1/,
  },
  {
    name: 'DEFAULT_HASHING_ALGORITHM here only',
    versions: ['3.2'],
    plant: visits,
    ours: () => ({ DEFAULT_HASHING_ALGORITHM: 'sha1' }),
    named: /^sessions\.E013: leave DEFAULT_HASHING_ALGORITHM empty/,
  },
  {
    name: 'pickles at Django only',
    versions: versions.filter((version) => Number(version) < 5),
    site: { SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer' },
    plant: visits,
    ours: () => ({ SESSION_SERIALIZER: '' }),
    named:
      /^sessions\.E014: set SESSION_SERIALIZER=django\.contrib\.sessions\.serializers\.PickleSerializer$/,
  },
  {
    name: 'pickles here only',
    versions: versions.filter((version) => Number(version) < 5),
    plant: visits,
    ours: () => ({ SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer' }),
    named: /^sessions\.E014: leave SESSION_SERIALIZER empty/,
  },
  {
    name: 'rows that are cut off',
    async plant(site) {
      await site.django("save(3, note='x' * 300, words=['%d' % at for at in range(300)])")
      await site.sql('UPDATE django_session SET session_data = substr(session_data, 1, 255)')
    },
    named: /^sessions\.W011: give the column session_data /,
  },
]

for (const { name, versions: planted = versions, site: settings = {}, plant, ours, named } of faults) {
  for (const version of planted) {
    test(`Django ${version}: the doctor names ${name} first`, async (t) => {
      await takeTurn(t)
      const site = await plantSite(t, { version, settings })
      await plant(site, version)
      t.regex(firstNamed(await site.examine(ours?.(version) ?? {})), named)
    })
  }
}

for (const version of versions) {
  test(`Django ${version}: without rows, and with rows of ours alone, keys and times are skipped with the reason`, async (t) => {
    await takeTurn(t)
    const site = await plantSite(t, { version })
    for (const because of [
      /^no session is stored in django_session yet; /,
      /^this service itself saved all /,
    ]) {
      const findings = await site.examine({ DJANGO_SECRET_KEY: NEW_KEY })
      t.deepEqual(problems(findings), [])
      for (const id of ['sessions.E010', 'sessions.E013', 'sessions.E020']) {
        const { result } = findings.find((one) => one.id === id) ?? {}
        t.regex(result?.outcome === 'skipped' ? result.because : '', because, id)
      }
      await site.saveHere(3)
    }
  })
}

test('the hint on a spelling shows no part of a key', async (t) => {
  const site = await plantSite(t, { version: versions.at(-1) ?? '' })
  await visits(site)
  const findings = await site.examine({ DJANGO_SECRET_KEY: ` ${secretKey}` })
  t.regex(firstNamed(findings), /^sessions\.E010/)
  t.false(JSON.stringify(findings).includes(secretKey.slice(0, 8)))
})
