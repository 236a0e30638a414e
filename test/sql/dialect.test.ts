import { createHash } from 'node:crypto'
import test from 'ava'
import { databaseKindOf, dialects } from '../../src/sql/dialect.ts'
import { selectRows } from '../../src/sql/executor.ts'
import { openDb } from '../engines/db-under-test.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'

const file = fileScope(test)

/** Texts that MySQL's default collations take for equal, and texts with characters that mysql2 escapes. */
const TEXTS = [
  'eyJhIjoxfQ',
  'eyJhIjoxfq',
  'a',
  'A',
  'á',
  'a ',
  "it's",
  'back\\slash',
  '"quoted"',
  'x'.repeat(5000),
]

for (const name of testDatabases) {
  test(`${name}: texts are compared to the byte`, async (t) => {
    const { db } = await openDb(file, name)
    const dialect = dialects[databaseKindOf(db)]
    const insert = 'insert into django_session (session_key, session_data, expire_date) values (?, ?, ?)'
    for (const [at, text] of TEXTS.entries()) await db.raw(insert, [`key${at}`, text, '2030-01-01 00:00:00'])
    for (const [at, text] of TEXTS.entries()) {
      const { sql, value } = dialect.textEquals('session_data', text)
      const found = await selectRows(db, `select session_key from django_session where ${sql}`, [value])
      t.deepEqual(
        found.map((row) => row.session_key),
        [`key${at}`],
        text.slice(0, 20),
      )
    }
  })

  test(`${name}: a value arrives as it is, whatever a visitor put into it`, async (t) => {
    const { db } = await openDb(file, name)
    const { bind } = dialects[databaseKindOf(db)]
    const type = name === 'postgresql' ? 'text' : 'char'
    for (const text of [...TEXTS, "');--", '€ 😀 ü', '']) {
      const { sql, value } = bind(text)
      const [row] = await selectRows(db, `select cast(${sql} as ${type}) as text`, [value])
      t.is(row?.text, text)
    }
    t.deepEqual(bind(null), { sql: '?', value: null })
    t.deepEqual(bind(7), { sql: '?', value: 7 })
  })
}

test('MySQL compares a long text, or one with escapes, by its digest', (t) => {
  const { textEquals } = dialects.mysql
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex')
  t.deepEqual(textEquals('c', 'x'.repeat(4095)), { sql: 'c = CAST(? AS BINARY)', value: 'x'.repeat(4095) })
  for (const text of ['x'.repeat(4096), "it's"])
    t.deepEqual(textEquals('c', text), { sql: 'SHA2(c, 256) = ?', value: digest(text) })
})

test('a Knex for another database is refused', (t) => {
  const knex = Object.assign(() => {}, { client: { dialect: 'oracle' }, raw: () => {} })
  const db = knex as unknown as Parameters<typeof databaseKindOf>[0]
  t.throws(() => databaseKindOf(db), { instanceOf: TypeError, message: /oracle/ })
})
