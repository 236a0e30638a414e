import test from 'ava'
import { openDjangoSite } from '../../src/adapters/fetch.ts'
import { secretKey } from '../engines/db-under-test.ts'
import { testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { openUrl } from '../support/library.ts'
import { type ConformingSite, cases, type Ground, networkTo, openGround } from './conformance.ts'
import { servePage } from './pages.ts'
import { adapters, errorPage } from './sites.ts'

const file = fileScope(test)
const [oldest = '5.2'] = djangoVersions
const newest = djangoVersions.at(-1) ?? oldest
const servers = testDatabases.filter((name) => name !== 'sqlite')

/** The oldest Django on one server, and the newest on another. */
const GROUNDS = [
  { database: servers[0] ?? 'mariadb', version: oldest },
  { database: servers.at(-1) ?? 'mariadb', version: newest },
] as const

const sites = new Map<string, ConformingSite>()

test.before('Django and each framework serve one database', async () => {
  const grounds: readonly Ground[] = await Promise.all(
    GROUNDS.map((ground) => openGround(file, { ...ground, secretKey })),
  )
  for (const [at, [name, serve]] of Object.entries(adapters).entries()) {
    const ground = grounds[at % 2] as Ground
    const { siteDatabaseUrl, network } = await networkTo(file, ground)
    const site = openDjangoSite({
      db: openUrl(file, siteDatabaseUrl),
      secretKeys: [secretKey],
      djangoVersion: GROUNDS[at % 2]?.version ?? newest,
      saveEveryRequest: true,
      onError: errorPage,
    })
    sites.set(name, { ...ground, name, network, url: await serve(file, site, servePage) })
  }
})

for (const [at, name] of Object.keys(adapters).entries()) {
  const { database, version } = GROUNDS[at % 2] ?? GROUNDS[0]
  for (const [title, run] of Object.entries(cases))
    test.serial(`${name}, beside Django ${version} on ${database}: ${title}`, async (t) => {
      const site = sites.get(name)
      if (site === undefined) return t.fail('it is not served')
      await run(t, site)
    })
}
