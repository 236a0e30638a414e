/** AVA loads this before each test file. */
import test from 'ava'
import { recordFileTime } from './file-times.ts'

const times = process.env.TEST_FILE_TIMES
if (times !== undefined) recordFileTime(test.meta.file, times)
