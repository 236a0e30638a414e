import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { deflateSync } from 'node:zlib'
import test from 'ava'
import { createFileBasedCache } from '../../src/caches/file-based.ts'
import { withFileLock } from '../../src/concurrency/file-lock.ts'
import { parseObject } from '../../src/django/json.ts'
import { pickleObject } from '../../src/django/pickle/pickle.ts'
import { type UnreadableReason, UnreadableSession } from '../../src/django/session-data.ts'
import { cacheSettings } from '../engines/cache-under-test.ts'
import { fileScope } from '../support/file-scope.ts'
import { temporaryFolder } from '../support/service.ts'
import { testCacheContract } from './contract.ts'

const file = fileScope(test)
const shared = join(temporaryFolder(file), 'cache')
const open = (folder: string, options: Parameters<typeof createFileBasedCache>[1] = {}) =>
  createFileBasedCache(cacheSettings('filebased.FileBasedCache', folder), { timeout: 30_000, ...options })

testCacheContract(test, 'FileBasedCache', () => ({ open: () => open(shared), tellsExpiry: true }))

const DATA = parseObject('{"a":1}')

test('a file is as Django writes it: name, mode 0600, a pickled time and a compressed pickle', async (t) => {
  const folder = join(temporaryFolder(t), 'deep', 'cache')
  const now = () => new Date('2026-11-23T08:25:12.500Z')
  await open(folder, { now }).add('key', DATA, 60)
  const name = '489087976349f36d5c25c049476d6176.djcache' // hashlib.md5(b':1:key').hexdigest()
  t.deepEqual(readdirSync(folder), [name])
  t.is(statSync(folder).mode & 0o777, 0o700)
  t.is(statSync(join(folder, name)).mode & 0o777, 0o600)
  const content = readFileSync(join(folder, name))
  // pickle.dumps(1795422372.5, 5)
  t.is(content.subarray(0, 21).toString('hex'), '8005950a000000000000004741dac0fe292000002e')
  t.deepEqual(
    content.subarray(21, 23),
    deflateSync('').subarray(0, 2),
    'a zlib stream with the default level',
  )
})

test('no key addresses a file outside the folder', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const cache = open(folder)
  for (const key of ['../../escaped', '/etc/passwd', 'a\0b', '..', '', 'x'.repeat(10_000)]) {
    t.is(await cache.get(key), null)
    await cache.add(key, DATA, 60)
    t.truthy(await cache.get(key))
  }
  t.deepEqual(readdirSync(join(folder, '..')), ['cache'])
  t.true(readdirSync(folder).every((name) => /^[0-9a-f]{32}\.djcache$/.test(name)))
})

test('a file that is not a cache file, or whose pickle is not plain data, is unreadable and stays', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const cache = open(folder, { maxInflatedBytes: 2000 })
  await cache.add('key', DATA, 60)
  const [name = ''] = readdirSync(folder)
  const path = join(folder, name)
  const head = readFileSync(path).subarray(0, 21)
  const evil = Buffer.from("cposix\nsystem\n(S'touch hacked'\ntR.")
  const contents: Record<string, [Buffer, UnreadableReason]> = {
    'no pickle': [Buffer.from('hello'), 'payload'],
    'a pickled text for a time': [Buffer.from('80055801000000782e', 'hex'), 'payload'],
    'no zlib stream': [Buffer.concat([head, Buffer.from('hello')]), 'payload'],
    'a pickle that runs code': [Buffer.concat([head, deflateSync(evil)]), 'payload'],
    'too much, once inflated': [
      Buffer.concat([head, deflateSync(pickleObject(parseObject(`{"a":"${'a'.repeat(5000)}"}`)))]),
      'too-large',
    ],
    'a cut file': [head.subarray(0, 15), 'payload'],
  }
  for (const [what, [content, reason]] of Object.entries(contents)) {
    writeFileSync(path, content)
    const error = await t.throwsAsync(cache.get('key'), { instanceOf: UnreadableSession }, what)
    t.is(error?.reason, reason, what)
    t.is(await cache.clearExpired(), 0)
    t.deepEqual(readFileSync(path), content)
  }
  t.false(existsSync('hacked'))
  writeFileSync(path, '')
  t.is(await cache.get('key'), null, 'an empty file has expired, as in Django')
})

test('clearExpired removes expired files, and nothing else in the folder', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const clock = { now: new Date() }
  const cache = open(folder, { now: () => clock.now })
  t.is(await cache.clearExpired(), 0, 'the folder does not exist yet')
  await cache.add('live', DATA, 60)
  for (const key of ['a', 'b', 'c']) await cache.add(key, DATA, 10)
  mkdirSync(join(folder, 'folder'))
  writeFileSync(join(folder, 'other.txt'), '')
  clock.now = new Date(clock.now.getTime() + 20_000)
  t.is(await cache.clearExpired(), 3)
  t.is(await cache.clearExpired(), 0)
  t.truthy(await cache.get('live'))
  t.is(readdirSync(folder).length, 3)
})

test('processes that increment a number at the same time lose no increment', async (t) => {
  const folder = join(temporaryFolder(t), 'cache')
  const cache = open(folder)
  await cache.add('key', parseObject('{"n":0}'), 1000)
  const script = `
    import { createFileBasedCache } from ${JSON.stringify(new URL('../../src/caches/file-based.ts', import.meta.url).href)}
    const cache = createFileBasedCache(${JSON.stringify(cacheSettings('filebased.FileBasedCache', folder))}, { timeout: 30000 })
    for (let counted = 0; counted < 30; ) {
      const { data, revision } = await cache.get('key')
      const next = new Map([['n', String(Number(data.get('n')) + 1)]])
      if (typeof (await cache.replace('key', next, 1000, revision)) === 'object') counted += 1
    }`
  const processes = [1, 2, 3].map(() =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' }),
  )
  const exits = await Promise.all(processes.map((each) => once(each, 'exit')))
  t.deepEqual(
    exits.map(([code]) => code),
    [0, 0, 0],
  )
  t.is((await cache.get('key'))?.data.get('n'), '90')
  t.deepEqual(
    readdirSync(folder).filter((name) => !name.endsWith('.djcache')),
    [],
    'no lock and no temporary file is left',
  )
})

test('a lock of a dead process blocks only for a short time, a held lock until the timeout', async (t) => {
  const lock = join(temporaryFolder(t), 'lock')
  writeFileSync(lock, '')
  await t.throwsAsync(
    withFileLock(lock, async () => {}, { timeout: 50 }),
    { code: 'ERR_FILE_LOCK_TIMEOUT' },
  )
  t.is(await increments(lock, { contenders: 20 }), 20)
  t.false(existsSync(lock))
})

for (const removals of [0, 1, 2, 3]) {
  test.serial(
    `when many find a lock abandoned, they remove only that lock, never the next one; died while removing it: ${removals}`,
    async (t) => {
      const folder = temporaryFolder(t)
      const locks = Array.from({ length: 15 }, (_, at) => join(folder, String(at)))
      for (const lock of locks) abandon(lock, { removals })

      const counts = await Promise.all(locks.map((lock) => increments(lock, { contenders: 40 })))

      t.deepEqual(
        counts,
        locks.map(() => 40),
      )
      t.deepEqual(readdirSync(folder), [])
    },
  )
}

test('a process that died while removing an abandoned lock does not prolong the wait', async (t) => {
  const folder = temporaryFolder(t)
  const lock = join(folder, 'lock')
  writeFileSync(lock, '')
  const start = performance.now()
  await increments(lock, { contenders: 5 })
  const usual = performance.now() - start
  abandon(lock, { removals: 1 })

  // By default a write waits 2 s for a lock, and a lock counts as abandoned after 1 s; a busy machine needs longer.
  const timeout = 1.8 * usual
  t.is(await increments(lock, { contenders: 5, timeout }), 5)
  t.deepEqual(readdirSync(folder), [])
})

/** Leaves a lock, and the files of so many processes that died one after the other while they removed what was left. */
function abandon(lock: string, { removals }: { removals: number }): void {
  let file = lock
  writeFileSync(file, '')
  for (let left = 0; left < removals; left += 1) {
    const { ino, mtimeNs, size } = statSync(file, { bigint: true })
    file = `${lock}.${ino}-${mtimeNs}-${size}`
    writeFileSync(file, '')
  }
}

/** Increments a number so many times at once, each under the lock; returns the number. */
async function increments(
  lock: string,
  { contenders, timeout = 30_000 }: { contenders: number; timeout?: number },
): Promise<number> {
  let number = 0
  const increment = async (confirm: () => void) => {
    const read = number
    await delay(2)
    confirm()
    number = read + 1
  }
  await Promise.all(Array.from({ length: contenders }, () => withFileLock(lock, increment, { timeout })))
  return number
}
