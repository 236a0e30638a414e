import { quoted } from '../checks/quoted.ts'

/** The tables and columns of AUTH_USER_MODEL in the database. */
export interface UserModel {
  readonly table: string
  readonly idColumn: string
  readonly idType: UserIdType
  readonly columns: UserColumns
  /** The columns that were set explicitly, and therefore must exist. */
  readonly givenColumns: ReadonlySet<UserColumn>
  /** The tables of the model's `groups` and `user_permissions`, and the foreign key to the user in both. */
  readonly groupsTable: string
  readonly permissionsTable: string
  readonly userColumn: string
}

/** The columns that Django's rules about users need; null for a field that the model does not have. */
export interface UserColumns {
  /** The column of USERNAME_FIELD. */
  readonly username: string
  /** Null: the model says `password = None`. */
  readonly password: string | null
  /** Null: the model says `last_login = None`. */
  readonly lastLogin: string | null
  /** Null: every user is active, as with AbstractBaseUser's `is_active = True`. */
  readonly isActive: string | null
  /** Null: no user is staff. */
  readonly isStaff: string | null
  /** Null: the model does not use PermissionsMixin. */
  readonly isSuperuser: string | null
  readonly firstName: string | null
  readonly lastName: string | null
}

/** A field of the user model whose column can have another name. */
export type UserColumn = keyof UserColumns

/** The type of the primary key: `integer` for an AutoField or another integer, `uuid` for UUIDField, `text` for CharField. */
export type UserIdType = 'integer' | 'uuid' | 'text'

/** The user model of the site, where it is not `auth.User`. */
export interface UserModelOptions {
  /** AUTH_USER_MODEL, e.g. `accounts.User`; default: `auth.User`. */
  readonly model?: string
  /** The model's `db_table`; default: the name that Django derives from AUTH_USER_MODEL. */
  readonly table?: string
  /** Default: `id`. */
  readonly idColumn?: string
  /** Default: `integer`. */
  readonly idType?: UserIdType
  /** The model's USERNAME_FIELD; default: `username`. */
  readonly usernameField?: string
  /** Column names that differ from Django's field names, e.g. by `db_column`; null for fields that the model does not have. */
  readonly columns?: Partial<UserColumns>
}

/** AUTH_USER_MODEL is not of the form `app_label.ModelName`. */
export class InvalidUserModel extends Error {
  override name = 'InvalidUserModel'
  readonly code: string = 'ERR_AUTH_USER_MODEL'
}

/**
 * Returns the tables and columns of a user model, named as Django names them.
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
      `AUTH_USER_MODEL ${quoted(model)} is not a model; write app_label.ModelName, as in settings.py`,
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
