import type { Knex } from 'knex'
import { selectRows } from '../../sql/executor.ts'
import type { Binding } from '../../sql/port.ts'

/** The rows of LocalLibrary that its pages show. No method runs more than three statements, and each has a limit. */
export interface LibraryRows {
  countBooks(): Promise<number>
  books(slice: Slice): Promise<readonly BookRow[]>
  /** Null if there is no such book. */
  book(id: number): Promise<BookDetails | null>
  countAuthors(): Promise<number>
  authors(slice: Slice): Promise<readonly AuthorRow[]>
  /** Null if there is no such author. */
  author(id: number): Promise<AuthorDetails | null>
  /** The copies on loan to this user, or to all users. */
  countLoans(borrower: UserKey | null): Promise<number>
  loans(borrower: UserKey | null, slice: Slice): Promise<readonly LoanRow[]>
}

/** The primary key of a user, as the user table has it. */
export type UserKey = number | bigint | string

/** A part of the rows, in the order of Django's models. */
export interface Slice {
  readonly limit: number
  readonly offset: number
}

export interface AuthorName {
  readonly id: number
  readonly firstName: string
  readonly lastName: string
}

export interface BookRow {
  readonly id: number
  readonly title: string
  readonly author: AuthorName | null
}

export interface BookDetails extends BookRow {
  readonly summary: string
  readonly isbn: string
  readonly language: string | null
  readonly genres: readonly string[]
  /** At most `MOST_ROWS`. */
  readonly copies: readonly CopyRow[]
}

export interface CopyRow {
  /** A UUID with dashes. */
  readonly id: string
  /** LocalLibrary's LOAN_STATUS: m, o, a or r. */
  readonly status: string
  readonly imprint: string
  /** ISO date. */
  readonly dueBack: string | null
}

export interface AuthorRow extends AuthorName {
  /** ISO dates. */
  readonly dateOfBirth: string | null
  readonly dateOfDeath: string | null
}

export interface AuthorDetails extends AuthorRow {
  /** At most `MOST_ROWS`. */
  readonly books: readonly { readonly id: number; readonly title: string; readonly summary: string }[]
}

export interface LoanRow {
  readonly bookId: number
  readonly title: string
  /** ISO date. */
  readonly dueBack: string | null
  readonly borrower: string
}

/** The maximum number of copies or books on the page of one book or author. */
export const MOST_ROWS = 100

/** Reads the tables of LocalLibrary in the database of the embedded demo, SQLite. */
export function createLibraryRows(db: Knex): LibraryRows {
  const select = (sql: string, ...bindings: Binding[]) => selectRows(db, sql, bindings)
  const count = async (sql: string, ...bindings: Binding[]) =>
    Number((await select(sql, ...bindings))[0]?.count)

  return {
    countBooks: () => count('select count(*) as count from catalog_book'),

    async books({ limit, offset }) {
      const rows = await select(
        `${BOOKS} order by title, last_name, first_name, book.id limit ? offset ?`,
        limit,
        offset,
      )
      return rows.map(bookOf)
    },

    async book(id) {
      const [row] = await select(`${BOOK} where book.id = ?`, id)
      if (row === undefined) return null
      const genres = await select(GENRES, id, MOST_ROWS)
      const copies = await select(COPIES, id, MOST_ROWS)
      return {
        ...bookOf(row),
        summary: String(row.summary),
        isbn: String(row.isbn),
        language: textOrNull(row.language),
        genres: genres.map(({ name }) => String(name)),
        copies: copies.map((copy) => ({
          id: withDashes(String(copy.id)),
          status: String(copy.status),
          imprint: String(copy.imprint),
          dueBack: textOrNull(copy.due_back),
        })),
      }
    },

    countAuthors: () => count('select count(*) as count from catalog_author'),

    async authors({ limit, offset }) {
      const rows = await select(
        `${AUTHORS} order by last_name, first_name, id limit ? offset ?`,
        limit,
        offset,
      )
      return rows.map(authorOf)
    },

    async author(id) {
      const [row] = await select(`${AUTHORS} where id = ?`, id)
      if (row === undefined) return null
      const books = await select(BOOKS_OF_AUTHOR, id, MOST_ROWS)
      return {
        ...authorOf(row),
        books: books.map((book) => ({
          id: Number(book.id),
          title: String(book.title),
          summary: String(book.summary),
        })),
      }
    },

    countLoans: (borrower) =>
      borrower === null
        ? count(`select count(*) as count ${LOANS}`)
        : count(`select count(*) as count ${LOANS} and borrower_id = ?`, String(borrower)),

    async loans(borrower, { limit, offset }) {
      const order = 'order by due_back, copy.id limit ? offset ?'
      const rows =
        borrower === null
          ? await select(`${LOAN_COLUMNS} ${LOANS} ${order}`, limit, offset)
          : await select(
              `${LOAN_COLUMNS} ${LOANS} and borrower_id = ? ${order}`,
              String(borrower),
              limit,
              offset,
            )
      return rows.map((row) => ({
        bookId: Number(row.book_id),
        title: String(row.title),
        dueBack: textOrNull(row.due_back),
        borrower: textOrNull(row.username) ?? '',
      }))
    },
  }
}

const BOOK_COLUMNS = 'book.id, title, author_id, first_name, last_name'
const FROM_BOOK = 'from catalog_book book left join catalog_author author on author.id = author_id'
const BOOKS = `select ${BOOK_COLUMNS} ${FROM_BOOK}`
const BOOK = `select ${BOOK_COLUMNS}, summary, isbn, language.name as language ${FROM_BOOK}
  left join catalog_language language on language.id = language_id`
const GENRES = `select name from catalog_genre genre join catalog_book_genre chosen on chosen.genre_id = genre.id
  where book_id = ? order by genre.id limit ?`
const COPIES = `select id, status, imprint, due_back from catalog_bookinstance
  where book_id = ? order by due_back, id limit ?`
const AUTHORS = 'select id, first_name, last_name, date_of_birth, date_of_death from catalog_author'
const BOOKS_OF_AUTHOR =
  'select id, title, summary from catalog_book where author_id = ? order by title, id limit ?'
const LOAN_COLUMNS = 'select book_id, title, due_back, username'
// Unlike the tutorial, whose page fails for a copy of a book that was deleted.
const LOANS = `from catalog_bookinstance copy join catalog_book book on book.id = book_id
  left join auth_user borrower on borrower.id = borrower_id where status = 'o'`

type Row = Readonly<Record<string, unknown>>

function bookOf(row: Row): BookRow {
  const author =
    row.author_id === null || row.last_name === null
      ? null
      : { id: Number(row.author_id), firstName: String(row.first_name), lastName: String(row.last_name) }
  return { id: Number(row.id), title: String(row.title), author }
}

function authorOf(row: Row): AuthorRow {
  return {
    id: Number(row.id),
    firstName: String(row.first_name),
    lastName: String(row.last_name),
    dateOfBirth: textOrNull(row.date_of_birth),
    dateOfDeath: textOrNull(row.date_of_death),
  }
}

function textOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value)
}

/** A UUIDField on SQLite is 32 digits. */
function withDashes(id: string): string {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
