import { rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { testDatabases } from '../../support/databases.ts'
import { firstNamed, type PlantedSite, plantSite, problems, versions } from './planted-site.ts'

const ENGINES = 'django.contrib.sessions.backends'
const DATABASE_CACHE = JSON.stringify({
  default: { BACKEND: 'django.core.cache.backends.db.DatabaseCache', LOCATION: 'cache' },
})
const CACHE_TABLE = 'from django.core.management import call_command; call_command("createcachetable")'

interface Fault {
  readonly name: string
  readonly versions?: readonly string[]
  readonly site?: Readonly<Record<string, string>>
  readonly plant: (site: PlantedSite, t: ExecutionContext) => Promise<unknown>
  readonly ours?: Readonly<Record<string, string>>
  readonly named: RegExp
}

/** Sessions of an earlier time in django_session, which alone look well. */
const before = (site: PlantedSite) =>
  site.django('with ago(7200): save(3)', { SESSION_ENGINE: `${ENGINES}.db` })

const faults: readonly Fault[] = [
  {
    name: 'Django on `cache`, in a table',
    site: { SESSION_ENGINE: `${ENGINES}.cache`, CACHES: DATABASE_CACHE },
    async plant(site) {
      await before(site)
      await site.django(`${CACHE_TABLE}; save(3)`)
    },
    ours: { SESSION_ENGINE: '', CACHES: '' },
    named: /^sessions\.E001: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.cache, and CACHES /,
  },
  {
    name: 'Django on `cached_db`, in a table',
    site: { SESSION_ENGINE: `${ENGINES}.cached_db`, CACHES: DATABASE_CACHE },
    plant: (site) => site.django(`${CACHE_TABLE}; save(3)`),
    ours: { SESSION_ENGINE: '', CACHES: '' },
    named: /^sessions\.E001: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.cached_db, and CACHES /,
  },
  {
    name: 'Django on `db`, while we use `cached_db`',
    site: { CACHES: DATABASE_CACHE },
    plant: (site) => site.django(`${CACHE_TABLE}; save(3)`),
    ours: { SESSION_ENGINE: `${ENGINES}.cached_db` },
    named: /^sessions\.W002: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.db, or CACHES /,
  },
  {
    name: 'Django on `file`',
    // The folder is that of all tests, so the name must not be theirs.
    site: { SESSION_ENGINE: `${ENGINES}.file`, SESSION_COOKIE_NAME: 'in-files' },
    async plant(site, t) {
      await before(site)
      const key = (await site.django('print(save(1).session_key)', { SESSION_FILE_PATH: tmpdir() })).trim()
      t.teardown(() => rm(join(tmpdir(), `in-files${key}`)))
      // Of a busy site, files go while the folder is read.
      const others = key.slice(0, 29) + (key[29] === '0' ? '1' : '0')
      for (let number = 10; number < 30; number += 1) {
        const gone = join(tmpdir(), `in-files${others}${number}`)
        await symlink(join(tmpdir(), 'nowhere'), gone)
        t.teardown(() => rm(gone))
      }
    },
    ours: { SESSION_ENGINE: '' },
    named:
      /^sessions\.E001: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.file and SESSION_FILE_PATH=/,
  },
  {
    name: 'Django on `db`, while we use `file`',
    plant: (site) => site.django('save(3)'),
    ours: { SESSION_ENGINE: `${ENGINES}.file`, SESSION_FILE_PATH: join(tmpdir(), 'nowhere') },
    named: /^sessions\.E001: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.db, /,
  },
  {
    name: 'Django on `db`, while we use `signed_cookies`',
    plant: (site) => site.django('save(3)'),
    ours: { SESSION_ENGINE: `${ENGINES}.signed_cookies` },
    named: /^sessions\.E001: set SESSION_ENGINE=django\.contrib\.sessions\.backends\.db, /,
  },
  {
    name: 'Django on django-user-sessions',
    versions: versions.filter((version) => version !== '6.1'),
    site: { EXTRA_APPS: '["user_sessions"]', SESSION_ENGINE: 'user_sessions.backends.db' },
    async plant(site) {
      await before(site)
      await site.django(`
from django.core.management import call_command
call_command('migrate', 'user_sessions', verbosity=0)
from user_sessions.backends.db import SessionStore
store = lambda: SessionStore(ip='127.0.0.1', user_agent='Test')
save(3)`)
    },
    ours: { SESSION_ENGINE: '' },
    named: /^sessions\.E001: set SESSION_ENGINE=user_sessions\.backends\.db, /,
  },
  {
    name: 'a table of its own that Django has',
    site: { EXTRA_APPS: '["account_sessions"]', SESSION_ENGINE: 'account_sessions.store' },
    async plant(site) {
      await before(site)
      await site.django(`
from django.core.management import call_command
call_command('migrate', run_syncdb=True, verbosity=0)
save(3)`)
    },
    ours: { SESSION_ENGINE: '' },
    named: /^sessions\.E001: set SESSION_DB_TABLE=library_session, /,
  },
  {
    name: 'users who logged in to a site without a session here',
    site: { SESSION_ENGINE: `${ENGINES}.signed_cookies` },
    plant: (site) => site.django("log_in('a'); log_in('b'); log_in('c')"),
    ours: { SESSION_ENGINE: '' },
    named: /^sessions\.W001: .* another session engine or another database/,
  },
  {
    name: 'a copy of the database, in which only we have saved since',
    async plant(site) {
      await site.django('with ago(259200): save(3)')
      await site.saveHere(30)
    },
    named: /^sessions\.W001: this may be a copy of the database, /,
  },
]

test('a SESSION_DATABASE_URL that Django does not have is named', async (t) => {
  const [version = ''] = versions.slice(-1)
  const site = await plantSite(t, { version })
  await site.django('save(3)')
  const { url: other } = await plantSite(t, { version })
  const hint = firstNamed(await site.examine({ SESSION_DATABASE_URL: other }))
  t.regex(hint, /^sessions\.E001: leave SESSION_DATABASE_URL empty, if DATABASE_ROUTERS /)
})

for (const [turn, version] of versions.entries()) {
  const database = testDatabases[turn % testDatabases.length] ?? 'sqlite'
  test(`Django ${version} on ${database}: \`cached_db\` on both sides gives no failure and no warning`, async (t) => {
    await takeTurn(t)
    const settings = { SESSION_ENGINE: `${ENGINES}.cached_db`, CACHES: DATABASE_CACHE }
    const site = await plantSite(t, { version, database, settings })
    await site.django(`${CACHE_TABLE}; save(3)`)
    await site.saveHere(2)
    t.deepEqual(problems(await site.examine()), [])
  })
}

for (const { name, versions: planted = versions, site: settings = {}, plant, ours = {}, named } of faults) {
  for (const [turn, version] of planted.entries()) {
    const database = testDatabases[turn % testDatabases.length] ?? 'sqlite'
    test(`Django ${version} on ${database}: the doctor names ${name} first`, async (t) => {
      await takeTurn(t)
      const site = await plantSite(t, { version, database, settings })
      await plant(site, t)
      t.regex(firstNamed(await site.examine(ours)), named)
    })
  }
}
