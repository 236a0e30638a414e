import test from 'ava'
import { testDatabases } from '../../support/databases.ts'
import { fileScope } from '../../support/file-scope.ts'
import { readTable, replay, STORED, UNLIKE_DJANGO } from './measured-requests.ts'
import { serve } from './session-site.ts'

const file = fileScope(test)
const newest = readTable('6.1')

for (const version of ['2.2', '3.2', '4.2', '5.2', '6.1']) replay(version, 'sqlite', { file, serve })
for (const name of testDatabases) if (name !== 'sqlite') replay('5.2', name, { file, serve })

test('every difference from Django belongs to a case, and is one', (t) => {
  for (const [name, { expected }] of Object.entries(UNLIKE_DJANGO)) {
    const measured = newest.find((one) => one.name === name)
    t.truthy(measured, name)
    t.notDeepEqual({ ...measured, ...expected }, measured, name)
  }
})

test('every case that has a session of its own belongs to the table', (t) => {
  const names = new Set(newest.map(({ name }) => name))
  for (const name of Object.keys(STORED)) t.true(names.has(name), name)
})
