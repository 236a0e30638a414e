import type { Knex } from 'knex'
import { createPasswords } from '../../django/passwords.ts'
import { versionProfile } from '../../django/versions.ts'

/** An account of the demo that a visitor can log in with. */
export interface DemoUser {
  readonly username: string
  /** It is public: the login page of the demo shows it. */
  readonly password: string
  /** What the user can do, for the login page. */
  readonly about: string
}

/**
 * `make_password` of Django 5.2 made the hashes. They are constants, because hashing takes a third of a second of CPU
 * time, and because a new salt would protect nothing: the passwords are public.
 */
const ACCOUNTS: readonly (DemoUser & { readonly isStaff: boolean; readonly hash: string })[] = [
  {
    username: 'member',
    password: 'reads-books',
    about: 'has borrowed some books',
    isStaff: false,
    hash: 'pbkdf2_sha256$1000000$ij1GSWX2yHepZYxOJ5eQb7$cjeK2dCcdm/8u6IfSSdUyGNbGA59MzfIMN6gCCZoHLA=',
  },
  {
    username: 'librarian',
    password: 'lends-books',
    about: 'is staff and sees all borrowed books',
    isStaff: true,
    hash: 'pbkdf2_sha256$1000000$v5awi0NOp4amMwvlYQGV7o$4T0NgkA7NFJlIs0q+5ZWaPSCoVFzKb3jIEmdeD0bNVw=',
  },
]

/** Users who have borrowed books and cannot log in: Django's mark of an unusable password. */
const READERS = ['ada', 'jun']
const UNUSABLE = '!'

/** The group that may do everything with the catalogue, as the MDN tutorial's "Librarians". */
const GROUP = 'Librarians'

/** The tables that are needed. An operator may have put another database in the demo's place. */
const TABLES = [
  'auth_group',
  'auth_group_permissions',
  'auth_permission',
  'auth_user',
  'auth_user_groups',
  'catalog_bookinstance',
  'django_content_type',
]

/**
 * Adds the users of the demo, and lets them borrow the copies that are on loan. Returns false, and changes nothing, if the
 * database has ever had a user: an operator who created or deleted users is not overruled.
 */
export async function addDemoUsers(db: Knex): Promise<boolean> {
  if (!(await hasTables(db)) || (await hasHadUsers(db))) return false
  return db.transaction(async (transaction) => {
    // A statement that could write takes SQLite's lock: of two processes, the second one waits here.
    await transaction.raw('update auth_user set id = id where 1 = 0')
    if (await hasHadUsers(transaction)) return false
    await addUsers(transaction)
    await addGroup(transaction)
    await lendCopies(transaction)
    return true
  })
}

/** The users of the demo in this database that can log in with the public password. */
export async function demoUsersIn(db: Knex): Promise<DemoUser[]> {
  if (!(await hasTables(db))) return []
  const users: DemoUser[] = []
  for (const { hash, username, password, about } of ACCOUNTS) {
    const row: { password: string } | undefined = await db('auth_user')
      .where({ username, is_active: 1 })
      .first('password')
    if (row !== undefined && (row.password === hash || (await isPasswordOf(password, row.password))))
      users.push({ username, password, about })
  }
  return users
}

/** A Django of another version than 5.2 stores its own hash of the same password at a login (`must_update`). */
async function isPasswordOf(password: string, encoded: string): Promise<boolean> {
  const { isCorrect } = await createPasswords({ profile: versionProfile('5.2') }).check(password, encoded)
  return isCorrect
}

async function hasTables(db: Knex): Promise<boolean> {
  const found = await db('sqlite_master').where({ type: 'table' }).whereIn('name', TABLES)
  return found.length === TABLES.length
}

/** SQLite remembers the highest number that it gave in a column with AUTOINCREMENT, also when all rows are deleted. */
async function hasHadUsers(db: Knex): Promise<boolean> {
  const highest: unknown = await db('sqlite_sequence').where({ name: 'auth_user' }).first('seq')
  const user: unknown = await db('auth_user').first('id')
  return highest !== undefined || user !== undefined
}

async function addUsers(db: Knex): Promise<void> {
  const accounts = ACCOUNTS.map(({ username, hash, isStaff }) => ({
    username,
    password: hash,
    is_staff: isStaff,
  }))
  const readers = READERS.map((username) => ({ username, password: UNUSABLE, is_staff: false }))
  await db('auth_user').insert(
    [...accounts, ...readers].map((user) => ({
      ...user,
      is_superuser: false,
      is_active: true,
      first_name: '',
      last_name: '',
      email: '',
      // As Django stores it with USE_TZ.
      date_joined: new Date().toISOString().replace('T', ' ').replace('Z', '000'),
    })),
  )
}

async function addGroup(db: Knex): Promise<void> {
  await db.raw('insert or ignore into auth_group (name) values (?)', [GROUP])
  await db.raw(
    `insert or ignore into auth_group_permissions (group_id, permission_id)
      select auth_group.id, auth_permission.id from auth_group, auth_permission
      join django_content_type on django_content_type.id = auth_permission.content_type_id
      where auth_group.name = ? and django_content_type.app_label = 'catalog'`,
    [GROUP],
  )
  await db.raw(
    `insert into auth_user_groups (user_id, group_id)
      select auth_user.id, auth_group.id from auth_user, auth_group where is_staff and auth_group.name = ?`,
    [GROUP],
  )
}

/** The copies on loan go to the users who are not staff, in turn. */
async function lendCopies(db: Knex): Promise<void> {
  const borrowers: number[] = await db('auth_user').where({ is_staff: false }).orderBy('id').pluck('id')
  const copies: string[] = await db('catalog_bookinstance')
    .where({ status: 'o', borrower_id: null })
    .orderBy(['book_id', 'due_back', 'id'])
    .pluck('id')
  for (const [index, borrower_id] of borrowers.entries()) {
    const lent = copies.filter((_, copy) => copy % borrowers.length === index)
    await db('catalog_bookinstance').whereIn('id', lent).update({ borrower_id })
  }
}
