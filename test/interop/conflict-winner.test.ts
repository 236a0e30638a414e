import test from 'ava'
import { openSessionRequests } from '../../src/site/django-sessions.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoVersions, startStores } from '../support/django.ts'
import { openUrl } from '../support/library.ts'

const SECRET_KEY = 'a key of the tests'

for (const [at, database] of testDatabases.entries()) {
  const version = djangoVersions[at % djangoVersions.length] ?? ''
  test(`a conflict says who saved first: Django ${version} on ${database}, or this package`, async (t) => {
    const { url } = await createTestDatabase(t, database, { tables: 'library' })
    const stores = startStores(t, { version, secretKey: SECRET_KEY, databaseUrl: url })
    const winners: string[] = []
    const options = {
      db: openUrl(t, url),
      secretKeys: [SECRET_KEY] as [string],
      djangoVersion: version,
      events: { conflict: (winner = 'none') => void winners.push(winner) },
    }
    /** A session as another process has it. */
    const open = (key: string) => {
      const { requests } = openSessionRequests(options)
      return requests.open(`sessionid=${key}`).session.load()
    }
    await stores.open('django', { engine: 'db', cache: 'default' })
    const key = (await stores.save('django', "{'n': 1}")).key ?? ''
    const [first, second] = [await open(key), await open(key)]
    // A microsecond of Django's clock in a thousand looks like a millisecond of ours.
    for (let tries = 0; tries < 3 && !winners.includes('django'); tries += 1) {
      await stores.save('django', `{'django': ${tries}}`)
      first.set('first', tries)
      await first.save()
    }
    t.is(winners.at(-1), 'django')
    winners.length = 0
    second.set('second', 1)
    await second.save()
    t.deepEqual(winners, ['here'])
    t.deepEqual(new Set(second.keys()), new Set(['n', 'django', 'first', 'second']))
  })
}
