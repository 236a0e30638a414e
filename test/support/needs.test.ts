import test from 'ava'
import { needsOf } from './needs.ts'

test('a pure test file needs nothing', (t) => {
  t.deepEqual([...needsOf(['test/django/json.test.ts'])], [])
  t.deepEqual([...needsOf(['--match=*text*', 'test/django/json.test.ts:12', 'test/arrows.test.ts'])], [])
})

test('a test file needs what it imports through other files', (t) => {
  const needs = (file: string) => [...needsOf([file])].toSorted()
  t.deepEqual(needs('test/interop/visits.test.ts'), ['databases', 'django', 'service'])
  t.deepEqual(needs('test/browser/login.test.ts'), ['browser', 'databases'])
  t.deepEqual(needs('test/cli/node-version.test.ts'), ['nodes', 'service'])
  t.deepEqual(needs('test/caches/redis/redis.test.ts'), ['django', 'openssl', 'redis'])
  t.true(needs('test/service/database/galera.test.ts').includes('galera'))
})

test('a folder and a pattern need what their files need', (t) => {
  t.true(needsOf(['test/browser']).has('browser'))
  t.deepEqual(needsOf(['test/browser/*.test.ts']), needsOf(['test/browser']))
  t.deepEqual(needsOf(['test/adapters/**']), needsOf(['test/adapters'])) // which has a folder of its own
})

test('a whole run needs everything, and so does one that names no file', (t) => {
  const everything = needsOf([])
  t.true(everything.has('databases') && everything.has('nodes') && everything.has('pgbouncer'))
  t.deepEqual(needsOf(['--tap', '--match=*session*']), everything)
})
