import test from 'ava'
import type { Knex } from 'knex'
import { type CatalogCounts, createCatalog } from '../../../src/service/pages/catalog.ts'
import { type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { openLibrary } from '../../support/library.ts'

const counts = test.macro<[TestDatabaseName]>({
  title: (_, name) => `books, copies, available copies and authors are counted in one statement on ${name}`,
  async exec(t, name) {
    const db = await openLibrary(t, name)
    await addAuthors(db, 2)
    await addBooks(db, 3)
    await addCopies(db, ['a', 'a', 'm', 'o', 'r'])
    const queries = countQueries(db)

    const found = await createCatalog({ db }).counts()

    t.deepEqual(found, { books: 3, copies: 5, copiesAvailable: 2, authors: 2 })
    t.is(queries.count, 1)
  },
})

const shared = test.macro<[TestDatabaseName]>({
  title: (_, name) =>
    `calls made while a count runs share the next count, which starts when the first ends, on ${name}`,
  async exec(t, name) {
    const db = await openLibrary(t, name)
    const catalog = createCatalog({ db })
    const tenCalls = () => Promise.all(Array.from({ length: 10 }, () => catalog.counts()))
    const late = Promise.withResolvers<CatalogCounts[]>()
    const steps: string[] = []
    db.on('query', () => {
      steps.push('start')
      if (steps.length === 1) tenCalls().then(late.resolve, late.reject)
    })
    db.on('query-response', () => steps.push('end'))

    const [first, second] = [await tenCalls(), await late.promise]

    t.deepEqual(steps, ['start', 'end', 'start', 'end'])
    t.is(new Set(first).size, 1)
    t.is(new Set(second).size, 1)
    t.not(first[0], second[0])
  },
})

const fresh = test.macro<[TestDatabaseName]>({
  title: (_, name) => `a call made while a count runs is not answered by that count on ${name}`,
  async exec(t, name) {
    const db = await openLibrary(t, name)
    const catalog = createCatalog({ db })
    const calls: Promise<CatalogCounts>[] = []
    const queries = countQueries(db, (number) => {
      if (number < 3) calls.push(catalog.counts())
    })

    calls.push(catalog.counts())
    const found = new Set<CatalogCounts>()
    for (const call of calls) found.add(await call) // also the calls added meanwhile

    t.is(queries.count, 3)
    t.is(found.size, 3)
  },
})

const recovers = test.macro<[TestDatabaseName]>({
  title: (_, name) => `a failed count rejects its own callers and no later ones on ${name}`,
  async exec(t, name) {
    const db = await openLibrary(t, name)
    const catalog = createCatalog({ db })
    await db.schema.renameTable('catalog_author', 'away')

    const failed = await Promise.allSettled([catalog.counts(), catalog.counts(), catalog.counts()])
    t.deepEqual(
      failed.map((one) => one.status),
      ['rejected', 'rejected', 'rejected'],
    )

    await db.schema.renameTable('away', 'catalog_author')
    t.like(await catalog.counts(), { authors: 0 })
  },
})

const kept = test.macro<[TestDatabaseName]>({
  title: (_, name) => `counts are reused until countsMaxAge, unless they failed, on ${name}`,
  async exec(t, name) {
    const db = await openLibrary(t, name)
    let milliseconds = 0
    const catalog = createCatalog({ db, countsMaxAge: 3, monotonic: () => milliseconds })
    await db.schema.renameTable('catalog_author', 'away')
    await t.throwsAsync(catalog.counts())
    await db.schema.renameTable('away', 'catalog_author')
    const queries = countQueries(db)

    const [first, shared] = await Promise.all([catalog.counts(), catalog.counts()])
    await addAuthors(db, 1)
    const start = queries.count
    t.is(shared, first)
    milliseconds = 2999
    t.is(await catalog.counts(), first)
    t.is(queries.count, start, 'no statement ran')

    milliseconds = 3000
    t.like(await catalog.counts(), { authors: 1 })
  },
})

for (const name of testDatabases) {
  test(kept, name)
  test(counts, name)
  test(shared, name)
  test(fresh, name)
  test(recovers, name)
}

/** Counts the statements from now on. */
function countQueries(db: Knex, each: (number: number) => void = () => {}): { count: number } {
  const queries = { count: 0 }
  db.on('query', () => {
    queries.count += 1
    each(queries.count)
  })
  return queries
}

async function addAuthors(db: Knex, count: number): Promise<void> {
  for (let id = 1; id <= count; id += 1) {
    await db('catalog_author').insert({ id, first_name: 'Fore', last_name: `Name ${id}` })
  }
}

async function addBooks(db: Knex, count: number): Promise<void> {
  for (let id = 1; id <= count; id += 1) {
    await db('catalog_book').insert({ id, title: `Book ${id}`, summary: '', isbn: `978000000000${id}` })
  }
}

async function addCopies(db: Knex, statuses: string[]): Promise<void> {
  for (const [index, status] of statuses.entries()) {
    const id = `0000000000004000800000000000000${index}` // 32 digits or a UUID column, by database
    await db('catalog_bookinstance').insert({ id, imprint: '', status })
  }
}
