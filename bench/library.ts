import { createTestDatabase, runScript } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'

/** The databases on which the benchmark measures. */
export type BenchDatabase = 'mariadb' | 'postgresql' | 'sqlite'

/** The number of rows of each library. */
export const LIBRARIES = {
  small: { books: 100, copies: 500, authors: 50 },
  large: { books: 10_000, copies: 50_000, authors: 2_000 },
  huge: { books: 100_000, copies: 500_000, authors: 20_000 },
} as const

export type LibrarySize = keyof typeof LIBRARIES

/** Users of each library, with the ids from 1. They are in a group with permissions, among them `catalog.can_mark_returned`. */
export const USERS = 50

/** Their `password` column. No password matches it: sessions are made without one. */
export const USER_PASSWORD = '!of a benchmark'

/** Creates a database with a library of this size in Django's tables, and returns its URL. Every fourth copy is available. */
export async function createLibrary(
  scope: Scope,
  size: LibrarySize,
  name: BenchDatabase = 'mariadb',
): Promise<string> {
  const { url } = await createTestDatabase(scope, name, { tables: 'library' })
  const { books, copies, authors } = LIBRARIES[size]
  const { upTo, id, reader, no, yes, analyze } = DIALECTS[name]
  await runScript(
    url,
    `INSERT INTO catalog_author (first_name, last_name) SELECT 'First', 'Last' FROM ${upTo(authors)};
     INSERT INTO catalog_book (title, summary, isbn, author_id)
       SELECT 'Book', '${'A summary of this book. '.repeat(10)}', 1000000000000 + seq, 1 + seq % ${authors}
       FROM ${upTo(books)};
     INSERT INTO catalog_bookinstance (id, imprint, status, book_id)
       SELECT ${id}, 'An imprint', CASE seq % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'o' WHEN 2 THEN 'm' ELSE 'r' END,
         1 + seq % ${books} FROM ${upTo(copies)};
     INSERT INTO auth_group (id, name) VALUES (1, 'Librarians');
     INSERT INTO auth_group_permissions (group_id, permission_id)
       SELECT 1, id FROM auth_permission WHERE codename LIKE '%book%' OR codename = 'can_mark_returned';
     INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
       SELECT seq, '${USER_PASSWORD}', ${no}, ${reader}, '', '', '', ${no}, ${yes}, '2026-01-01 00:00:00' FROM ${upTo(USERS)};
     INSERT INTO auth_user_groups (user_id, group_id) SELECT id, 1 FROM auth_user;
     ${analyze};`,
  )
  return url
}

interface LibraryDialect {
  /** A table with one column, `seq`: the numbers from 1. */
  upTo(count: number): string
  /** A new id of a copy. */
  readonly id: string
  /** `reader` and the number. */
  readonly reader: string
  readonly no: string
  readonly yes: string
  readonly analyze: string
}

const DIALECTS: Readonly<Record<BenchDatabase, LibraryDialect>> = {
  mariadb: {
    upTo: (count) => `seq_1_to_${count}`,
    id: 'UUID()',
    reader: "CONCAT('reader', seq)",
    no: '0',
    yes: '1',
    analyze: 'ANALYZE TABLE catalog_author, catalog_book, catalog_bookinstance',
  },
  postgresql: {
    upTo: (count) => `generate_series(1, ${count}) AS numbers (seq)`,
    id: 'gen_random_uuid()',
    reader: "'reader' || seq",
    no: 'false',
    yes: 'true',
    analyze: 'ANALYZE',
  },
  sqlite: {
    upTo: (count) =>
      `(WITH RECURSIVE numbers (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < ${count}) SELECT seq FROM numbers)`,
    id: 'lower(hex(randomblob(16)))',
    reader: "'reader' || seq",
    no: '0',
    yes: '1',
    analyze: 'ANALYZE',
  },
}
