import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { createPasswords } from '../../../src/django/passwords.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { type DemoDatabase, ensureDemoDatabase } from '../../../src/service/demo/demo-database.ts'
import { AUTHORS, BOOKS } from '../../../src/service/demo/library.ts'
import { demoSecretKey } from '../../../src/service/demo/secret.ts'
import { runScript, runSql } from '../../support/databases.ts'
import { djangoVersions } from '../../support/django.ts'
import { pythonOf } from '../../support/django-environments.ts'
import { projectFolder } from '../../support/places.ts'

const run = promisify(execFile)

test('the demo database is created once, with its folder', async (t) => {
  const filename = join(folder(t), 'var/demo.sqlite3')
  t.like(await ensureDemoDatabase(filename), { created: true, usersAdded: false })
  const copies = await runSql(`sqlite:///${filename}`, 'SELECT id FROM catalog_bookinstance ORDER BY id')
  t.like(await ensureDemoDatabase(filename), { created: false, usersAdded: false })
  t.deepEqual(
    await runSql(`sqlite:///${filename}`, 'SELECT id FROM catalog_bookinstance ORDER BY id'),
    copies,
  )
  t.deepEqual(await runSql(`sqlite:///${filename}`, 'PRAGMA journal_mode'), [{ journal_mode: 'wal' }])
})

test('of two simultaneous starts one creates the demo, and both read the same key', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  const starts = await Promise.all([start(filename), start(filename), start(filename)])
  t.is(new Set(starts.map(({ key }) => key)).size, 1)
  t.is(starts.filter(({ created }) => created).length, 1)
  t.true(starts.every(({ usersAdded, users }) => !usersAdded && users.length === 2))
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

test('the demo has a member with books and a librarian with the permissions of the catalogue, no superuser', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  const { users } = await ensureDemoDatabase(filename)
  t.deepEqual(
    users.map(({ username }) => username),
    ['member', 'librarian'],
  )
  const sql = (text: string) => runSql(`sqlite:///${filename}`, text)
  const rows = await sql('SELECT username, password, is_staff, is_superuser, is_active FROM auth_user')
  t.like(rows, [
    { username: 'member', is_staff: 0, is_superuser: 0, is_active: 1 },
    { username: 'librarian', is_staff: 1, is_superuser: 0, is_active: 1 },
    { username: 'ada', password: '!', is_staff: 0, is_superuser: 0 },
    { username: 'jun', password: '!', is_staff: 0, is_superuser: 0 },
  ])
  const passwords = createPasswords({ profile: versionProfile('5.2') })
  for (const { username, password } of users) {
    const row = rows.find((one) => one.username === username)
    t.true((await passwords.check(password, String(row?.password))).isCorrect, username)
  }
  const onLoan = BOOKS.flatMap(({ copies }) => copies).filter((status) => status === 'o').length
  const loans = await sql(
    'SELECT username, count(*) AS n FROM catalog_bookinstance JOIN auth_user ON auth_user.id = borrower_id GROUP BY username ORDER BY username',
  )
  t.deepEqual(
    loans.map(({ username }) => username),
    ['ada', 'jun', 'member'],
  )
  t.is(
    loans.reduce((total, { n }) => total + Number(n), 0),
    onLoan,
  )
})

test('a file of the version before gets the users and keeps all else, however many processes start', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  await ensureDemoDatabase(filename)
  const url = `sqlite:///${filename}`
  await removeUsers(url)
  await runSql(url, "UPDATE catalog_book SET title = 'Mine' WHERE id = 1")
  const all = await Promise.all([start(filename), start(filename), start(filename)])
  t.is(all.filter(({ usersAdded }) => usersAdded).length, 1)
  t.true(all.every(({ created }) => !created))
  for (const { users } of all) t.is(users.length, 2)
  t.is((await runSql(url, 'SELECT * FROM auth_user')).length, 4)
  t.is((await runSql(url, 'SELECT * FROM auth_group')).length, 1)
  t.deepEqual(await runSql(url, 'SELECT title FROM catalog_book WHERE id = 1'), [{ title: 'Mine' }])
  const open = "SELECT * FROM catalog_bookinstance WHERE status = 'o' AND borrower_id IS NULL"
  t.deepEqual(await runSql(url, open), [])
})

test('users are not added where a user was made or deleted, and a changed password is not named', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  await ensureDemoDatabase(filename)
  const url = `sqlite:///${filename}`
  await runSql(url, "UPDATE auth_user SET password = '!' WHERE username = 'librarian'")
  const named = async () => (await ensureDemoDatabase(filename)).users.map(({ username }) => username)
  t.deepEqual(await named(), ['member'])
  await runSql(url, "UPDATE auth_user SET is_active = 0 WHERE username = 'member'")
  t.deepEqual(await named(), [])

  await runScript(
    url,
    'UPDATE catalog_bookinstance SET borrower_id = NULL; DELETE FROM auth_user_groups; DELETE FROM auth_user;',
  )
  t.like(await ensureDemoDatabase(filename), { created: false, usersAdded: false, users: [] })
  t.deepEqual(await runSql(url, 'SELECT * FROM auth_user'), [])
})

test('a database without the tables of the demo is left as it is', async (t) => {
  const filename = join(folder(t), 'demo.sqlite3')
  writeFileSync(filename, '')
  t.deepEqual(await ensureDemoDatabase(filename), { created: false, usersAdded: false, users: [] })
  t.is(statSync(filename).size, 0)
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
from django.contrib.auth import authenticate
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
    [authenticate(username='member', password='reads-books').has_perm('catalog.can_mark_returned'),
     authenticate(username='librarian', password='lends-books').has_perm('catalog.can_mark_returned')],
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
      [false, true],
    ])
    // A Django of another version has stored a hash of its own at the login: it is still the public password.
    t.is((await ensureDemoDatabase(filename)).users.length, 2)
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

/** Makes the demo ready in a process of its own. */
async function start(filename: string): Promise<DemoDatabase & { key: string }> {
  const script = `
    import { ensureDemoDatabase } from './src/service/demo/demo-database.ts'
    import { demoSecretKey } from './src/service/demo/secret.ts'
    const key = demoSecretKey('${filename}')
    console.log(JSON.stringify({ key, ...(await ensureDemoDatabase('${filename}')) }))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
    cwd: projectFolder,
  })
  return JSON.parse(stdout)
}

/** As the version before created it: no user was ever there. */
async function removeUsers(url: string): Promise<void> {
  await runScript(
    url,
    `UPDATE catalog_bookinstance SET borrower_id = NULL;
    DELETE FROM auth_user_groups; DELETE FROM auth_group_permissions; DELETE FROM auth_group; DELETE FROM auth_user;
    DELETE FROM sqlite_sequence WHERE name IN ('auth_user', 'auth_group', 'auth_user_groups', 'auth_group_permissions');`,
  )
}

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'demo-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}
