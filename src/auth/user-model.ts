import { quoted } from '../checks/quoted.ts'

/** What AUTH_USER_MODEL is in the database. */
export interface UserModel {
  readonly table: string
  readonly idColumn: string
  readonly idType: UserIdType
  readonly columns: UserColumns
  /** Those of `columns` that were given, and so must be there. */
  readonly givenColumns: ReadonlySet<UserColumn>
  /** The tables of the model's `groups` and `user_permissions`, and the column of both that names the user. */
  readonly groupsTable: string
  readonly permissionsTable: string
  readonly userColumn: string
}

/** The columns that Django's rules ask for; null for what the model has not. */
export interface UserColumns {
  /** Of USERNAME_FIELD. */
  readonly username: string
  /** Null: `password = None` in the model. */
  readonly password: string | null
  /** Null: `last_login = None` in the model. */
  readonly lastLogin: string | null
  /** Null: every user is active, as AbstractBaseUser's `is_active = True` says. */
  readonly isActive: string | null
  /** Null: nobody is. */
  readonly isStaff: string | null
  /** Null: the model has no PermissionsMixin. */
  readonly isSuperuser: string | null
  readonly firstName: string | null
  readonly lastName: string | null
}

export type UserColumn = keyof UserColumns

/** What the primary key is to Django: a (Big)AutoField or another integer, a UUIDField, a CharField. */
export type UserIdType = 'integer' | 'uuid' | 'text'

export interface UserModelOptions {
  /** AUTH_USER_MODEL, e.g. `accounts.User`; `auth.User` unless given. */
  readonly model?: string
  /** The model's `db_table`, where it is not what Django makes of AUTH_USER_MODEL. */
  readonly table?: string
  /** `id` unless given. */
  readonly idColumn?: string
  /** `integer` unless given. */
  readonly idType?: UserIdType
  /** The model's USERNAME_FIELD; `username` unless given. */
  readonly usernameField?: string
  /** Columns of other names than Django's fields, e.g. by `db_column`, and null for those that the model has not. */
  readonly columns?: Partial<UserColumns>
}

/** AUTH_USER_MODEL is not of the form `app_label.ModelName`. */
export class InvalidUserModel extends Error {
  override name = 'InvalidUserModel'
  readonly code: string = 'ERR_AUTH_USER_MODEL'
}

/**
 * The tables and columns of a user model, by Django's names for them.
 * Source: django/db/models/options.py, contribute_to_class; django/db/models/fields/related.py, ManyToManyField.
 * @throws {InvalidUserModel}
 */
export function userModel({
  model = 'auth.User',
  table,
  idColumn = 'id',
  idType = 'integer',
  usernameField = 'username',
  columns = {},
}: UserModelOptions = {}): UserModel {
  const [appLabel, name, ...rest] = model.split('.')
  if (!appLabel || !name || rest.length > 0) {
    throw new InvalidUserModel(
      `AUTH_USER_MODEL ${quoted(model)} is no model; write app_label.ModelName, as in settings.py`,
    )
  }
  const modelName = name.toLowerCase()
  const userTable = table ?? `${appLabel}_${modelName}`
  return {
    table: userTable,
    idColumn,
    idType,
    columns: {
      username: usernameField,
      password: 'password',
      lastLogin: 'last_login',
      isActive: 'is_active',
      isStaff: 'is_staff',
      isSuperuser: 'is_superuser',
      firstName: 'first_name',
      lastName: 'last_name',
      ...columns,
    },
    givenColumns: new Set(Object.keys(columns) as UserColumn[]),
    groupsTable: `${userTable}_groups`,
    permissionsTable: `${userTable}_user_permissions`,
    userColumn: `${modelName}_id`,
  }
}
