import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { ensureDemoDatabase } from '../../../src/service/demo/demo-database.ts'
import { AUTHORS, BOOKS } from '../../../src/service/demo/library.ts'
import { demoSecretKey } from '../../../src/service/demo/secret.ts'
import { runSql } from '../../support/databases.ts'
import { djangoVersions } from '../../support/django.ts'
import { pythonOf } from '../../support/django-environments.ts'
import { projectFolder } from '../../support/places.ts'

const run = promisify(execFile)

test('the demo database is created once, with its folder', async (t) => {
  const filename = join(folder(t), 'var/demo.sqlite3')
  t.deepEqual(await ensureDemoDatabase(filename), { created: true })
  const copies = await runSql(`sqlite:///${filename}`, 'SELECT id FROM catalog_bookinstance ORDER BY id')
  t.deepEqual(await ensureDemoDatabase(filename), { created: false })
  t.deepEqual(
    await runSql(`sqlite:///${filename}`, 'SELECT id FROM catalog_bookinstance ORDER BY id'),
    copies,
  )
  t.deepEqual(await runSql(`sqlite:///${filename}`, 'PRAGMA journal_mode'), [{ journal_mode: 'wal' }])
})

test('of two simultaneous starts one creates the demo, and both read the same key', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  const start = async () => {
    const script = `
      import { ensureDemoDatabase } from './src/service/demo/demo-database.ts'
      import { demoSecretKey } from './src/service/demo/secret.ts'
      const key = demoSecretKey('${filename}')
      console.log(JSON.stringify([key, (await ensureDemoDatabase('${filename}')).created]))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: projectFolder,
    })
    return JSON.parse(stdout) as [string, boolean]
  }
  const starts = await Promise.all([start(), start(), start()])
  t.is(new Set(starts.map(([key]) => key)).size, 1)
  t.is(starts.filter(([, created]) => created).length, 1)
  t.deepEqual(readdirSync(join(filename, '..')).sort(), ['demo.sqlite3', 'demo.sqlite3.secret-key'])
})

test("the demo's key is random, stored, and readable by its owner only", (t) => {
  const filename = join(folder(t), 'var/demo.sqlite3')
  const key = demoSecretKey(filename)
  t.regex(key, /^[\w-]{64}$/)
  t.is(demoSecretKey(filename), key)
  t.is(readFileSync(`${filename}.secret-key`, 'utf8'), `${key}\n`)
  t.is(statSync(`${filename}.secret-key`).mode & 0o777, 0o600)
  t.not(demoSecretKey(join(folder(t), 'demo.sqlite3')), key)
})

test('an empty key file is an error', (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  writeFileSync(`${filename}.secret-key`, '\n')
  t.throws(() => demoSecretKey(filename), { code: 'ERR_DEMO_SECRET' })
})

test('the demo has no users', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  await ensureDemoDatabase(filename)
  t.deepEqual(await runSql(`sqlite:///${filename}`, 'SELECT * FROM auth_user'), [])
})

test('every book of the demo has a listed author and a valid ISBN', (t) => {
  const names = AUTHORS.map((author) => author.last_name)
  t.is(new Set(names).size, names.length)
  t.is(new Set(BOOKS.map((book) => book.isbn)).size, BOOKS.length)
  for (const { title, author, isbn, summary } of BOOKS) {
    t.true(names.includes(author), title)
    t.true(summary.length <= 1000, title)
    const sum = [...isbn].reduce(
      (total, digit, index) => total + Number(digit) * (index % 2 === 0 ? 1 : 3),
      0,
    )
    t.true(/^\d{13}$/.test(isbn) && sum % 10 === 0, title)
  }
})

for (const version of djangoVersions) {
  test(`Django ${version} has no pending migrations on the demo, and reads all of it`, async (t) => {
    const filename = join(folder(t), 'demo.sqlite3')
    await ensureDemoDatabase(filename)
    const manage = async (...command: string[]) => {
      const env = {
        ...process.env,
        PYTHONDONTWRITEBYTECODE: '1',
        PYTHONIOENCODING: 'utf-8',
        SECRET_KEY: demoSecretKey(filename),
        DATABASE_URL: `sqlite:///${filename}`,
      }
      const cwd = join(projectFolder, 'test/django-site')
      return (await run(pythonOf(version), ['manage.py', ...command], { cwd, env })).stdout
    }
    t.regex(await manage('migrate', '--plan'), /No planned migration operations/)
    await manage('check')
    await manage('migrate', '--verbosity=0')
    const script = `
import json
from django.contrib.auth.models import Permission
from django.db import connection
from catalog.models import Author, Book, BookInstance
connection.check_constraints()
print('\\n' + json.dumps([
    Author.objects.count(), Book.objects.count(), BookInstance.objects.count(), Permission.objects.count(),
    [[b.title, b.author.last_name, b.language.name, sorted(g.name for g in b.genre.all()),
      ''.join(sorted(b.bookinstance_set.values_list('status', flat=True)))] for b in Book.objects.order_by('id')],
    BookInstance.objects.filter(due_back=None).exclude(status='a').count(),
    Author.objects.create(first_name='Thomas', last_name='Mann').id,
]))`
    const output = (await manage('shell', '-c', script)).trim().split('\n').at(-1) ?? ''
    t.deepEqual(JSON.parse(output), [
      AUTHORS.length,
      BOOKS.length,
      BOOKS.flatMap((book) => book.copies).length,
      45,
      BOOKS.map((book) => [
        book.title,
        book.author,
        book.language,
        [...book.genres].sort(),
        [...book.copies].sort().join(''),
      ]),
      0,
      AUTHORS.length + 1,
    ])
  })
}

test("the demo's schema equals the one that the newest Django's migrate creates", async (t) => {
  const newest = djangoVersions.at(-1) ?? ''
  const { stdout } = await run(pythonOf(newest), ['src/service/demo/generate_schema.py'], {
    cwd: projectFolder,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  const statements = (text: string) => text.slice(text.indexOf('export')).split('\n')
  t.deepEqual(
    statements(stdout),
    statements(readFileSync(join(projectFolder, 'src/service/demo/schema.ts'), 'utf8')),
  )
})

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'demo-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}
