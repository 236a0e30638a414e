import test from 'ava'
import type { Knex } from 'knex'
import { createLibraryRows, type LibraryRows, MOST_ROWS } from '../../../src/service/pages/library-rows.ts'
import { openLibrary } from '../../support/library.ts'
import { addUser } from './login-site.ts'

test('books come in the order of title and author; a book may have none', async (t) => {
  const { db, rows } = await open(t)
  await db('catalog_author').insert([author(1, 'Zoe', 'Ada'), author(2, 'Abe', 'Zorn')])
  await db('catalog_book').insert([book(1, 'B', 2), book(2, 'A', null), book(3, 'B', 1)])
  t.is(await rows.countBooks(), 3)
  t.deepEqual(await rows.books({ limit: 10, offset: 0 }), [
    { id: 2, title: 'A', author: null },
    { id: 3, title: 'B', author: { id: 1, firstName: 'Zoe', lastName: 'Ada' } },
    { id: 1, title: 'B', author: { id: 2, firstName: 'Abe', lastName: 'Zorn' } },
  ])
  t.deepEqual(
    (await rows.books({ limit: 1, offset: 1 })).map(({ id }) => id),
    [3],
  )
})

test('a book has its genres, language and copies; one that is missing is null', async (t) => {
  const { db, rows } = await open(t)
  await db('catalog_language').insert({ id: 5, name: 'Czech' })
  await db('catalog_genre').insert([
    { id: 1, name: 'Drama' },
    { id: 2, name: 'Satire' },
  ])
  await db('catalog_book').insert({ ...book(1, 'R.U.R.', null), language_id: 5 })
  await db('catalog_book_genre').insert([
    { book_id: 1, genre_id: 2 },
    { book_id: 1, genre_id: 1 },
  ])
  await db('catalog_bookinstance').insert({
    ...copy(1, 1, 'o', null),
    id: '0123456789abcdef0123456789abcdef',
    due_back: '2026-12-24',
  })
  t.deepEqual(await rows.book(1), {
    id: 1,
    title: 'R.U.R.',
    author: null,
    summary: '-',
    isbn: '1',
    language: 'Czech',
    genres: ['Drama', 'Satire'],
    copies: [
      { id: '01234567-89ab-cdef-0123-456789abcdef', status: 'o', imprint: '-', dueBack: '2026-12-24' },
    ],
  })
  t.is(await rows.book(2), null)
  t.is(await rows.author(2), null)
})

test('loans are those of the user, or of all, by the day on which they are due', async (t) => {
  const { db, rows } = await open(t)
  const [ada, jun] = [await addUser(db, { username: 'ada' }), await addUser(db, { username: 'jun' })]
  await db('catalog_book').insert(book(1, 'A', null))
  await db('catalog_bookinstance').insert([
    { ...copy(1, 1, 'o', ada), due_back: '2026-12-24' },
    { ...copy(2, 1, 'o', jun), due_back: '2026-12-23' },
    copy(3, 1, 'r', ada),
    { ...copy(4, 1, 'o', null), due_back: '2026-12-25' },
    { ...copy(5, 1, 'o', ada), book_id: null },
  ])
  t.is(await rows.countLoans(ada), 1)
  t.is(await rows.countLoans(null), 3)
  const names = (loans: Awaited<ReturnType<LibraryRows['loans']>>) => loans.map(({ borrower }) => borrower)
  t.deepEqual(names(await rows.loans(ada, { limit: 10, offset: 0 })), ['ada'])
  t.deepEqual(names(await rows.loans(null, { limit: 10, offset: 0 })), ['jun', 'ada', ''])
  t.deepEqual(names(await rows.loans(null, { limit: 10, offset: 2 })), [''])
})

test('the number of statements does not grow with the rows, and the rows of a page are limited', async (t) => {
  const { db, rows } = await open(t)
  await db('catalog_author').insert(author(1, 'A', 'B'))
  const [insertedBooks, insertedCopies] = [[], []] as [object[], object[]]
  for (let id = 1; id <= MOST_ROWS + 20; id += 1) {
    insertedBooks.push(book(id, `Book ${String(id).padStart(4, '0')}`, 1))
    insertedCopies.push(copy(id, 1, 'o', null))
  }
  await db.batchInsert('catalog_book', insertedBooks, 50)
  await db.batchInsert('catalog_bookinstance', insertedCopies, 50)
  let statements = 0
  db.on('query', () => {
    statements += 1
  })
  const counted = async <R>(work: () => Promise<R>): Promise<[number, R]> => {
    statements = 0
    const result = await work()
    return [statements, result]
  }
  t.is((await counted(() => rows.books({ limit: 10, offset: 0 })))[0], 1)
  t.is((await counted(() => rows.loans(null, { limit: 10, offset: 0 })))[0], 1)
  const [ofBook, found] = await counted(() => rows.book(1))
  t.is(ofBook, 3)
  t.is(found?.copies.length, MOST_ROWS)
  const [ofAuthor, writer] = await counted(() => rows.author(1))
  t.is(ofAuthor, 2)
  t.is(writer?.books.length, MOST_ROWS)
})

async function open(t: Parameters<typeof openLibrary>[0]): Promise<{ db: Knex; rows: LibraryRows }> {
  const db = await openLibrary(t)
  return { db, rows: createLibraryRows(db) }
}

function author(id: number, first_name: string, last_name: string): object {
  return { id, first_name, last_name }
}

function book(id: number, title: string, author_id: number | null): object {
  return { id, title, summary: '-', isbn: String(id), author_id }
}

function copy(id: number, book_id: number, status: string, borrower_id: number | null): object {
  return { id: String(id).padStart(32, '0'), imprint: '-', status, book_id, borrower_id, due_back: null }
}
