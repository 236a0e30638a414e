import { randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import knex, { type Knex } from 'knex'
import { sqliteClient } from '../database/sqlite-client.ts'
import { addDemoUsers, type DemoUser, demoUsersIn } from './demo-users.ts'
import { AUTHORS, BOOKS, type CopyStatus } from './library.ts'
import { SCHEMA } from './schema.ts'
import { claimName, demoProblem, unfinishedName } from './unfinished.ts'

export interface DemoDatabase {
  /** Whether the file was created now. */
  readonly created: boolean
  /** Whether users were added to a file that an earlier version created. */
  readonly usersAdded: boolean
  /** The users of the demo who can log in with the public password. */
  readonly users: readonly DemoUser[]
}

/**
 * Creates the demo's SQLite file if it does not exist: a small library in the tables that Django's `migrate` creates for
 * LocalLibrary, so that a real Django can use the file. A file without users, which an earlier version created, gets the
 * users of the demo. Two processes may call this at the same time.
 * @throws {UnusableDemo}
 */
export async function ensureDemoDatabase(filename: string): Promise<DemoDatabase> {
  try {
    const created = existsSync(filename) ? false : await make(filename)
    return await withFile(filename, async (db) => {
      const usersAdded = !created && (await addDemoUsers(db))
      return { created, usersAdded, users: await demoUsersIn(db) }
    })
  } catch (error) {
    throw demoProblem(error, filename)
  }
}

async function make(filename: string): Promise<boolean> {
  const unfinished = unfinishedName(filename)
  try {
    await build(unfinished)
    return claimName(unfinished, filename)
  } finally {
    rmSync(unfinished, { force: true })
  }
}

async function build(filename: string): Promise<void> {
  await withFile(filename, async (db) => {
    // This mode is stored in the file: readers and the writer do not block each other.
    await db.raw('PRAGMA journal_mode = WAL')
    await db.transaction(async (transaction) => {
      for (const statement of SCHEMA.trim().split('\n')) await transaction.raw(statement)
      await fillLibrary(transaction)
      await addDemoUsers(transaction)
    })
  })
}

async function withFile<R>(filename: string, use: (db: Knex) => Promise<R>): Promise<R> {
  const db = knex({ client: sqliteClient(), connection: { filename }, useNullAsDefault: true })
  try {
    return await use(db)
  } finally {
    await db.destroy()
  }
}

async function fillLibrary(db: Knex): Promise<void> {
  const genres = numbered(BOOKS.flatMap((book) => book.genres))
  const languages = numbered(BOOKS.map((book) => book.language))
  const authors = numbered(AUTHORS.map((author) => author.last_name))
  await db('catalog_genre').insert(rows(genres))
  await db('catalog_language').insert(rows(languages))
  await db('catalog_author').insert([...AUTHORS])
  for (const [index, book] of BOOKS.entries()) {
    const book_id = index + 1
    const { title, summary, isbn } = book
    const author_id = authors.get(book.author)
    await db('catalog_book').insert({
      title,
      summary,
      isbn,
      author_id,
      language_id: languages.get(book.language),
    })
    await db('catalog_book_genre').insert(
      book.genres.map((genre) => ({ book_id, genre_id: genres.get(genre) })),
    )
    await db('catalog_bookinstance').insert(
      book.copies.map((status, copy) => ({
        // A UUIDField on SQLite is char(32).
        id: randomUUID().replaceAll('-', ''),
        imprint: book.imprint,
        status,
        due_back: dueBack(status, book_id + copy),
        book_id,
      })),
    )
  }
}

/** The distinct texts, numbered from 1 in order of appearance, as the table numbers its rows. */
function numbered(texts: readonly string[]): Map<string, number> {
  return new Map([...new Set(texts)].map((text, index) => [text, index + 1]))
}

function rows(names: ReadonlyMap<string, number>): { id: number; name: string }[] {
  return [...names].map(([name, id]) => ({ id, name }))
}

/** A date within the next four weeks for a copy that is not available, e.g. `2026-01-31`. */
function dueBack(status: CopyStatus, seed: number): string | null {
  if (status === 'a') return null
  const days = 1 + ((seed * 5) % 28)
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
}
