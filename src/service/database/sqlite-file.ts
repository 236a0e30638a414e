import { constants, existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Knex } from 'knex'

/**
 * Checks that this process may write SQLite's file and its journal, which is a new file in the folder, or the write-ahead
 * log beside the file, if there is one. @throws Error with the code of such a write
 */
export async function checkWritable(db: Knex): Promise<void> {
  const databases: readonly { name: string; file: string }[] = await db.raw('pragma database_list')
  const file = databases.find(({ name }) => name === 'main')?.file
  if (!file) return // in memory
  if (!existsSync(file)) throw readOnly('SQLITE_READONLY_DBMOVED')
  const log = [`${file}-wal`, `${file}-shm`].filter((one) => existsSync(one))
  const { W_OK, X_OK } = constants
  for (const one of [file, ...log])
    await access(one, W_OK).catch(() => {
      throw readOnly('SQLITE_READONLY')
    })
  if (log.length > 0) return
  await access(dirname(file), W_OK | X_OK).catch(() => {
    throw readOnly('SQLITE_READONLY_DIRECTORY')
  })
}

function readOnly(code: string): Error {
  return Object.assign(new Error('attempt to write a readonly database'), { code })
}
