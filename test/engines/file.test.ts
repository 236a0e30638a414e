import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { createSessionCodec, type SessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createFileEngine } from '../../src/engines/file.ts'
import { createSessions } from '../../src/session/handle.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { type EngineUnderTest, rules } from '../session/conformance/engine-under-test.ts'
import { fileScope, type Scope } from '../support/file-scope.ts'
import { temporaryFolder } from '../support/service.ts'

const file = fileScope(test)

conformance('file engine', async () => openFiles(file), { lacks: ['keepsExpireDate'] })

const KEY = 'abcdefgh0123456789abcdefgh012345'

test('a session is one file of mode 0600, named and filled as Django does, and a save leaves no other file', async (t) => {
  const site = openFiles(t)
  const session = await open(site)
  session.set('a', 1)
  await session.save()
  session.set('b', 2)
  await session.save()
  const name = `sessionid${session.sessionKey}`
  t.deepEqual(await readdir(site.path), [name])
  const written = join(site.path, name)
  t.is((await stat(written)).mode & 0o777, 0o600)
  t.is((await stat(written)).mtime.toISOString(), site.clock.now.toISOString())
  t.deepEqual(
    [...site.codec.decode(await readFile(written, 'latin1')).data],
    [
      ['a', '1'],
      ['b', '2'],
    ],
  )
})

test('no key leads to another file', async (t) => {
  const site = openFiles(t)
  const elsewhere = temporaryFolder(t)
  const content = site.codec.encode(new Map([['a', '1']]))
  await writeFile(join(elsewhere, 'secret'), content)
  await symlink(join(elsewhere, 'secret'), join(site.path, 'sessionidlinklinklink'))
  await mkdir(join(site.path, 'sessionidfolderfolder'))
  execFileSync('mkfifo', [join(site.path, 'sessionidpipepipepipe')])
  await writeFile(join(site.path, 'sessionidUPPERCASE'), content)
  for (const key of [
    'linklinklink',
    'folderfolder',
    'pipepipepipe',
    'UPPERCASE',
    '../secret',
    'a/../../secret',
  ]) {
    t.is(await site.engine.load(key), null, key)
  }
  const session = { data: new Map(), expireDate: site.clock.now }
  await t.throwsAsync(site.engine.update('linklinklink', session, content), { name: 'UpdateError' })
  await t.throwsAsync(site.engine.create('linklinklink', session), { name: 'CreateError' })
  await t.throwsAsync(site.engine.create('../elsewhere', session), { instanceOf: TypeError })
  t.is(await readFile(join(elsewhere, 'secret'), 'latin1'), content)
  t.is(await site.engine.clearExpired(), 0)
})

test('an expiry in seconds does not limit the age of the file, as in Django: only the cookie ends such a session', async (t) => {
  const site = openFiles(t)
  const session = await open(site)
  session.setExpiry(60)
  await session.save()
  const key = session.sessionKey ?? ''
  site.clock.now = new Date(site.clock.now.getTime() + rules.cookieAge * 2000)
  t.not(await site.engine.load(key), null)
  t.is(await site.engine.clearExpired(), 0)
})

test('a file is expired in its last second, as in Django, and clearing removes it', async (t) => {
  const site = openFiles(t)
  const session = await open(site)
  session.set('a', 1)
  await session.save()
  const end = site.clock.now.getTime() + rules.cookieAge * 1000
  site.clock.now = new Date(end - 1000)
  t.not(await site.engine.load(session.sessionKey ?? ''), null)
  site.clock.now = new Date(end - 999)
  t.is(await site.engine.load(session.sessionKey ?? ''), null)
  t.is(await site.count(), 1, 'loading removes nothing')
  t.is(await site.engine.clearExpired(), 1)
  t.is(await site.count(), 0)
})

test('clearing touches expired sessions only, readable or not', async (t) => {
  const site = openFiles(t)
  const put = async (name: string, content: string, age: number) => {
    const path = join(site.path, name)
    await writeFile(path, content)
    const savedAt = new Date(site.clock.now.getTime() - age * 1000)
    await utimes(path, savedAt, savedAt)
    return name
  }
  const live = site.codec.encode(new Map([['a', '1']]))
  const old = rules.cookieAge + 10
  await put('sessionidexpired1', live, old)
  await put('sessionidforeign1', 'of another site', old)
  const kept = [
    await put('sessionidlivelive', live, 10),
    await put('sessionidforeign2', 'of another site', 10),
    await put('sessionidplacehold', '', old),
    await put('sessionidexpired1_out_abcdefgh', live, old),
    await put('otherexpired1', live, old),
    await put('sessionid', live, old),
  ]
  t.is(await site.engine.clearExpired(), 2)
  t.deepEqual(await readdir(site.path), kept.toSorted())
})

test('an empty file, which Django makes before it writes, is an empty session', async (t) => {
  const site = openFiles(t)
  await writeFile(join(site.path, `sessionid${KEY}`), '')
  const session = await open(site, KEY)
  t.is(session.sessionKey, KEY)
  session.set('a', 1)
  await session.save()
  t.deepEqual((await site.engine.load(KEY))?.data, new Map([['a', '1']]))
})

test('a file that cannot be read is never written over, and its visitor gets a new key', async (t) => {
  const site = openFiles(t)
  await writeFile(join(site.path, `sessionid${KEY}`), 'of another site')
  await t.throwsAsync(site.engine.load(KEY), { name: 'UnreadableSession' })
  const session = await open(site, KEY)
  session.set('a', 1)
  await session.save()
  t.not(session.sessionKey, KEY)
  t.is(await readFile(join(site.path, `sessionid${KEY}`), 'latin1'), 'of another site')
})

test('a save that fails leaves the session as it was, and no other file', async (t) => {
  const site = openFiles(t)
  const { revision } = await site.engine.create(KEY, { data: new Map(), expireDate: site.clock.now })
  const folder = join(site.path, `sessionid${KEY}_lock`)
  await mkdir(folder) // nobody can take the lock, nor take it away
  const update = site.engine.update(
    KEY,
    { data: new Map([['a', '1']]), expireDate: site.clock.now },
    revision,
  )
  await t.throwsAsync(update)
  t.deepEqual(await readdir(site.path), [`sessionid${KEY}`, `sessionid${KEY}_lock`])
  await rm(folder, { recursive: true })
  t.is((await site.engine.load(KEY))?.revision, revision)
})

test('the lock of a process that died is taken over after a second', async (t) => {
  const site = openFiles(t)
  const session = { data: new Map([['a', '1']]), expireDate: site.clock.now }
  const { revision } = await site.engine.create(KEY, session)
  await writeFile(join(site.path, `sessionid${KEY}_lock`), '')
  const start = performance.now()
  await site.engine.update(KEY, session, revision)
  t.true(performance.now() - start > 900)
  t.deepEqual(await readdir(site.path), [`sessionid${KEY}`])
})

test('processes that count in one file at once lose nothing, also when one is killed', async (t) => {
  const site = openFiles(t)
  site.clock.now = new Date()
  await site.engine.create(KEY, { data: new Map([['other', '1.0']]), expireDate: site.clock.now })
  const writer = fileURLToPath(new URL('file-writer.ts', import.meta.url))
  const start = (times: number) => spawn(process.execPath, [writer, site.path, KEY, String(times)])
  const writers = [start(150), start(150), start(100_000)]
  const [first, second, doomed] = writers
  if (first === undefined || second === undefined || doomed === undefined) return t.fail()
  let seenByDoomed = ''
  doomed.stdout.on('data', (chunk) => {
    seenByDoomed += chunk
    if (seenByDoomed.split('\n').length > 100) doomed.kill('SIGKILL')
  })
  const ended = once(doomed, 'close')
  const outputs = await Promise.all([text(first.stdout), text(second.stdout), ended.then(() => seenByDoomed)])
  const numbers = outputs.flatMap((output) => output.split('\n').slice(0, -1).map(Number))
  t.is(new Set(numbers).size, numbers.length, 'no number was given twice')
  t.true(numbers.length >= 400)
  const stored = (await site.engine.load(KEY))?.data
  const last = Number(stored?.get('n'))
  t.is(stored?.get('other'), '1.0')
  // The one that was killed may have written a number that it could not print.
  t.true(last === numbers.length || last === numbers.length + 1, `${last} of ${numbers.length}`)
})

test('a folder that does not exist, or is a file, is an error at the start', async (t) => {
  const site = openFiles(t)
  const path = join(site.path, 'nowhere')
  const options = { cookieName: 'sessionid', codec: site.codec, rules }
  t.throws(() => createFileEngine({ path, ...options }), {
    code: 'ERR_SESSION_FILE_PATH',
    message: /nowhere does not exist; set SESSION_FILE_PATH/,
  })
  await writeFile(path, '')
  t.throws(() => createFileEngine({ path, ...options }), { message: /nowhere is not a folder/ })
  if (process.getuid?.() !== 0) {
    await chmod(site.path, 0o500)
    t.throws(() => createFileEngine({ path: site.path, ...options }), {
      message: /cannot be read and written/,
    })
    await chmod(site.path, 0o700)
  }
})

interface FilesUnderTest extends EngineUnderTest {
  readonly path: string
  readonly codec: SessionCodec
}

function openFiles(t: Scope): FilesUnderTest {
  const path = temporaryFolder(t)
  const clock = { now: new Date('2026-11-23T08:25:12.345Z') }
  const now = () => clock.now
  const profile = versionProfile('5.2')
  const codec = createSessionCodec({ secretKeys: ['a secret key of the tests'], profile, now })
  return {
    path,
    codec,
    clock,
    engine: createFileEngine({ path, cookieName: 'sessionid', codec, rules, now }),
    async empty() {
      for (const name of await readdir(path)) await rm(join(path, name), { recursive: true })
    },
    count: async () => (await readdir(path)).length,
  }
}

async function open({ engine, clock }: FilesUnderTest, sessionKey?: string) {
  return await createSessions({ engine, rules, now: () => clock.now })
    .open(sessionKey)
    .load()
}
