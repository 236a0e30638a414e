import { MODEL_BACKEND } from '../../auth/backends.ts'
import { quoted } from '../../checks/quoted.ts'
import type { SessionHashRule } from '../../django/auth-hash.ts'
import { type Environment, readList } from './environment.ts'

/** Django's AUTH… settings, and what the database does not show of a user model. */
export interface AuthSettings {
  readonly userModel: {
    /** AUTH_USER_MODEL. */
    readonly model: string
    /** AUTH_USER_TABLE: the model's `db_table`, where it has one. */
    readonly table?: string
    /** AUTH_USER_ID_COLUMN, AUTH_USER_ID_TYPE. */
    readonly idColumn: string
    readonly idType: 'integer' | 'uuid' | 'text'
    /** AUTH_USERNAME_FIELD: the model's USERNAME_FIELD. */
    readonly usernameField: string
    /** AUTH_USER_…_COLUMN, those that are set; null for None. */
    readonly columns: Readonly<Partial<ColumnNames>>
  }
  /** AUTH_SESSION_HASH: how the model makes `_auth_user_hash`. */
  readonly sessionHash: SessionHashRule
  /** AUTHENTICATION_BACKENDS. */
  readonly backends: readonly string[]
  /** PASSWORD_HASHERS; null for the default of this Django version. */
  readonly passwordHashers: readonly string[] | null
}

/** As src/auth/user-model.ts has them. */
type ColumnNames = { username: string } & Record<keyof typeof OPTIONAL_COLUMNS, string | null>

/** The columns that a model may lack. */
const OPTIONAL_COLUMNS = {
  password: 'AUTH_USER_PASSWORD_COLUMN',
  lastLogin: 'AUTH_USER_LAST_LOGIN_COLUMN',
  isActive: 'AUTH_USER_ACTIVE_COLUMN',
  isStaff: 'AUTH_USER_STAFF_COLUMN',
  isSuperuser: 'AUTH_USER_SUPERUSER_COLUMN',
  firstName: 'AUTH_USER_FIRST_NAME_COLUMN',
  lastName: 'AUTH_USER_LAST_NAME_COLUMN',
} as const

export function readAuthSettings(environment: Environment, problems: string[]): AuthSettings {
  const model = environment.text('AUTH_USER_MODEL') ?? 'auth.User'
  if (!/^\w+\.\w+$/.test(model)) {
    problems.push(
      `AUTH_USER_MODEL ${quoted(model)} is not a model; write app_label.ModelName, as in settings.py`,
    )
  }
  const table = environment.text('AUTH_USER_TABLE')
  const backends = readList(environment.text('AUTHENTICATION_BACKENDS') ?? '')
  const hashers = readList(environment.text('PASSWORD_HASHERS') ?? '')
  return {
    userModel: {
      model,
      ...(table !== null && { table }),
      idColumn: environment.text('AUTH_USER_ID_COLUMN') ?? 'id',
      idType: environment.oneOf('AUTH_USER_ID_TYPE', ['integer', 'uuid', 'text'], 'integer'),
      usernameField: environment.text('AUTH_USERNAME_FIELD') ?? 'username',
      columns: readColumns(environment),
    },
    sessionHash: environment.oneOf('AUTH_SESSION_HASH', ['django', 'none', 'custom'], 'django'),
    backends: backends.length === 0 ? [MODEL_BACKEND] : backends,
    passwordHashers: hashers.length === 0 ? null : hashers,
  }
}

function readColumns(environment: Environment): Partial<ColumnNames> {
  const username = environment.text('AUTH_USERNAME_COLUMN')
  const given = Object.entries(OPTIONAL_COLUMNS).flatMap(([column, setting]) => {
    const name = environment.text(setting)
    return name === null ? [] : [[column, name === 'None' ? null : name] as const]
  })
  return { ...(username !== null && { username }), ...Object.fromEntries(given) }
}
