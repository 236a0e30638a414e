import { constants, existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Knex } from 'knex'

/** Checks that SQLite may write its file, and its journal into the folder. @throws Error with the code of such a write */
export async function checkWritable(db: Knex): Promise<void> {
  const databases: readonly { name: string; file: string }[] = await db.raw('pragma database_list')
  const file = databases.find(({ name }) => name === 'main')?.file
  if (!file) return // in memory
  const { W_OK, X_OK } = constants
  await access(file, W_OK).catch(() => {
    throw readOnly(existsSync(file) ? 'SQLITE_READONLY' : 'SQLITE_READONLY_DBMOVED')
  })
  await access(dirname(file), W_OK | X_OK).catch(() => {
    throw readOnly('SQLITE_READONLY_DIRECTORY')
  })
}

function readOnly(code: string): Error {
  return Object.assign(new Error('attempt to write a readonly database'), { code })
}
