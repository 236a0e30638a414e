import type { UserModel } from './user-model.ts'
import type { UserRow, UserRows } from './user-rows.ts'

/** A logged-in user: a row of the user table. Source: django/contrib/auth/models.py, AbstractUser. */
export interface User {
  readonly isAuthenticated: true
  /** In the form in which `_auth_user_id` stores it on every database: decimal digits, a UUID with dashes, or text. */
  readonly id: string
  /** In the form in which this database stores it, to compare with foreign keys; bigint beyond ±(2^53 - 1). */
  readonly pk: number | bigint | string
  /** The dotted path of the backend that authenticated the user. */
  readonly backend: string
  readonly isActive: boolean
  readonly isStaff: boolean
  readonly isSuperuser: boolean
  /** Every column except the password, as the driver returns it. */
  readonly columns: Readonly<Record<string, unknown>>
  getUsername(): string
  /** First and last name with a space between; '' if the model has no names. */
  getFullName(): string
  getShortName(): string
  /** Whether the user has the permission `app_label.codename`: superusers have every one, inactive users none. */
  hasPerm(permission: string): Promise<boolean>
  hasPerms(permissions: readonly string[]): Promise<boolean>
  /** Whether the user has any permission in this app. */
  hasModulePerms(appLabel: string): Promise<boolean>
  /**
   * `app_label.codename` of each permission; the database is queried once, at the first call, or with the user: see
   * `prefetchPermissions`.
   */
  getAllPermissions(): Promise<ReadonlySet<string>>
}

/** A visitor who is not logged in. Source: django/contrib/auth/models.py, AnonymousUser. */
export interface AnonymousUser extends Omit<User, 'isAuthenticated' | 'id' | 'pk' | 'backend'> {
  readonly isAuthenticated: false
  readonly id: null
  readonly pk: null
  readonly backend: null
}

/** The password hash of each user. It is kept only here, so that no log or page can show it with the user. */
const passwords = new WeakMap<User, string | null>()

/** Returns the text of the user's `password` column; null for NULL, and if the model has no password. */
export function encodedPasswordOf(user: User): string | null {
  const encoded = passwords.get(user)
  if (encoded === undefined)
    throw new TypeError(
      'this user was not returned by getUser or authenticate; pass the same object on, not a copy',
    )
  return encoded
}

export interface UserOptions {
  readonly backend: string
  readonly model: UserModel
  /** Where permissions are looked up. */
  readonly rows: UserRows
}

/** Returns the row's password column; null for NULL, and if the model has no password. */
export function passwordIn({ columns: row }: UserRow, { columns }: UserModel): string | null {
  const password = columns.password === null ? null : row[columns.password]
  return password === null || password === undefined ? null : String(password)
}

export function createUser(userRow: UserRow, { backend, model, rows }: UserOptions): User {
  const { id, columns: row } = userRow
  const names = model.columns
  const columns = Object.fromEntries(Object.entries(row).filter(([name]) => name !== names.password))
  const columnOf = (name: string | null) => (name === null ? undefined : columns[name])
  // Source: django/contrib/auth/base_user.py, `is_active = True`.
  const isActive = names.isActive === null || isTrue(columns[names.isActive])
  const isSuperuser = isTrue(columnOf(names.isSuperuser))
  const hasEverything = isActive && isSuperuser
  let loading: Promise<ReadonlySet<string>> | null = null

  function load(): Promise<ReadonlySet<string>> {
    // A model without PermissionsMixin has no permission tables either.
    if (!isActive || columnOf(names.isSuperuser) === undefined) return Promise.resolve(new Set())
    if (isSuperuser) return rows.allPermissions()
    return userRow.permissions === undefined ? rows.permissionsOf(id) : Promise.resolve(userRow.permissions)
  }

  function getAllPermissions(): Promise<ReadonlySet<string>> {
    loading ??= load()
    return loading
  }

  const user: User = {
    isAuthenticated: true,
    id,
    pk: model.idType === 'integer' ? toInteger(id) : textOf(row[model.idColumn]),
    backend,
    isActive,
    isStaff: isTrue(columnOf(names.isStaff)),
    isSuperuser,
    columns,
    getUsername: () => textOf(columns[names.username]),
    getFullName: () => `${textOf(columnOf(names.firstName))} ${textOf(columnOf(names.lastName))}`.trim(),
    getShortName: () => textOf(columnOf(names.firstName)),
    getAllPermissions,
    hasPerm: async (permission) => hasEverything || (await getAllPermissions()).has(permission),
    async hasPerms(permissions) {
      if (hasEverything || permissions.length === 0) return true
      const all = await getAllPermissions()
      return permissions.every((permission) => all.has(permission))
    },
    hasModulePerms: async (appLabel) =>
      hasEverything || [...(await getAllPermissions())].some((name) => name.startsWith(`${appLabel}.`)),
  }
  passwords.set(user, passwordIn(userRow, model))
  return user
}

const noPermissions: ReadonlySet<string> = new Set()

export const anonymousUser: AnonymousUser = Object.freeze({
  isAuthenticated: false,
  id: null,
  pk: null,
  backend: null,
  isActive: false,
  isStaff: false,
  isSuperuser: false,
  columns: Object.freeze({}),
  getUsername: () => '',
  getFullName: () => '',
  getShortName: () => '',
  getAllPermissions: async () => noPermissions,
  hasPerm: async () => false,
  hasPerms: async (permissions: readonly string[]) => permissions.length === 0,
  hasModulePerms: async () => false,
})

/** Returns the same for every driver: some return bigints as text, some rounded. */
function toInteger(digits: string): number | bigint {
  const integer = BigInt(digits)
  return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer
}

/** MySQL and SQLite store booleans as numbers. */
function isTrue(value: unknown): boolean {
  return value === true || value === 1 || value === '1'
}

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value)
}
