import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { isFileMissing, isFileTaken } from '../../src/concurrency/file-errors.ts'
import { temporaryFolder } from '../support/service.ts'

test('a file of this name is missing, or taken, or in the way', (t) => {
  const folder = temporaryFolder(t)
  const at = (name: string): string => join(folder, name)
  writeFileSync(at('taken'), '')
  mkdirSync(at('folder'))
  symlinkSync(at('loop'), at('loop'))

  for (const name of ['none', 'loop', 'n'.repeat(300)]) {
    const error = t.throws(() => readFileSync(at(name)))
    t.true(isFileMissing(error), name)
    t.false(isFileTaken(error), name)
  }
  const taken = t.throws(() => writeFileSync(at('taken'), '', { flag: 'wx' }))
  t.true(isFileTaken(taken))
  t.false(isFileMissing(taken))
  const folderError = t.throws(() => readFileSync(at('folder')))
  t.false(isFileMissing(folderError) || isFileTaken(folderError))
})
