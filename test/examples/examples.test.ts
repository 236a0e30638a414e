/**
 * Next.js, SvelteKit and React Router as their own builds serve them, with the packed package, beside real Django on one
 * database: the cases of test/adapters/conformance.ts. `npm run test:examples` runs this.
 */
import test from 'ava'
import { type ConformingSite, cases, networkTo, openGround } from '../adapters/conformance.ts'
import { type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { packPackage } from '../support/packed.ts'
import {
  buildExample,
  checkTypes,
  DATABASES,
  type ExampleName,
  exampleNames,
  startExample,
} from './example.ts'

const secretKey = 'a key of Django and of the examples: 비밀#$%'

const file = fileScope(test)
const [oldest = '5.2'] = djangoVersions
const newest = djangoVersions.at(-1) ?? oldest

/** Between them the examples meet the oldest Django and the newest, and each kind of database server. */
const VERSIONS: Readonly<Record<ExampleName, string>> = {
  next: djangoVersions.includes('5.2') ? '5.2' : newest,
  sveltekit: oldest,
  'react-router': newest,
}

const examples = exampleNames.flatMap((name) => {
  const database = DATABASES[name].find((one) => testDatabases.includes(one))
  return database === undefined ? [] : [{ name, database, version: VERSIONS[name] }]
})

const sites = new Map<ExampleName, ConformingSite>()
const folders = new Map<ExampleName, string>()

test.before('the examples are installed, built and started, each beside a Django', async (t) => {
  t.timeout(600_000)
  const tarball = await packPackage()
  for (const example of examples) {
    const begun = performance.now()
    const folder = await buildExample(example.name, tarball)
    folders.set(example.name, folder)
    sites.set(example.name, await startSite({ ...example, folder }))
    t.log(`${example.name}: ${((performance.now() - begun) / 1000).toFixed(1)} s until it answers`)
  }
})

async function startSite({
  name,
  folder,
  ...options
}: {
  name: ExampleName
  folder: string
  database: TestDatabaseName
  version: string
}): Promise<ConformingSite> {
  const ground = await openGround(file, { ...options, secretKey })
  const { siteDatabaseUrl, network } = await networkTo(file, ground)
  const settings = {
    DATABASE_URL: siteDatabaseUrl,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: options.version,
  }
  const { url } = await startExample(file, name, { folder, settings })
  return { ...ground, name, url, network }
}

for (const { name, database, version } of examples) {
  test.serial(`${name}: its own check finds no wrong type`, async (t) => {
    t.timeout(300_000)
    t.is(await checkTypes(folders.get(name) ?? ''), '')
  })

  for (const [title, run] of Object.entries(cases))
    test.serial(`${name}, beside Django ${version} on ${database}: ${title}`, async (t) => {
      t.timeout(110_000)
      const site = sites.get(name)
      if (site === undefined) return t.fail('it was not started')
      await run(t, site)
    })
}
