import { createTestDatabase, runScript } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'

/** The number of rows of each library. */
export const LIBRARIES = {
  small: { books: 100, copies: 500, authors: 50 },
  large: { books: 10_000, copies: 50_000, authors: 2_000 },
  huge: { books: 100_000, copies: 500_000, authors: 20_000 },
} as const

export type LibrarySize = keyof typeof LIBRARIES

/** Creates a database with a library of this size in Django's tables, and returns its URL. Every fourth copy is available. */
export async function createLibrary(scope: Scope, size: LibrarySize): Promise<string> {
  const { url } = await createTestDatabase(scope, 'mariadb', { tables: 'library' })
  const { books, copies, authors } = LIBRARIES[size]
  await runScript(
    url,
    `INSERT INTO catalog_author (first_name, last_name)
       SELECT CONCAT('First ', seq), CONCAT('Last ', seq) FROM seq_1_to_${authors};
     INSERT INTO catalog_book (title, summary, isbn, author_id)
       SELECT CONCAT('Book ', seq), REPEAT('A summary of this book. ', 10), LPAD(seq, 13, '0'), 1 + seq % ${authors}
       FROM seq_1_to_${books};
     INSERT INTO catalog_bookinstance (id, imprint, status, book_id)
       SELECT UUID(), 'An imprint', ELT(1 + seq % 4, 'a', 'o', 'm', 'r'), 1 + seq % ${books}
       FROM seq_1_to_${copies};
     ANALYZE TABLE catalog_author, catalog_book, catalog_bookinstance;`,
  )
  return url
}
