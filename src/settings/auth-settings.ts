import { type Environment, readList } from './environment.ts'

/** Django's AUTH… settings, and what cannot be seen of a user model from outside. */
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
  }
  /** AUTHENTICATION_BACKENDS. */
  readonly backends: readonly string[]
  /** PASSWORD_HASHERS; null for those of this Django version. */
  readonly passwordHashers: readonly string[] | null
}

const MODEL_BACKEND = 'django.contrib.auth.backends.ModelBackend'

export function readAuthSettings(environment: Environment, problems: string[]): AuthSettings {
  const model = environment.text('AUTH_USER_MODEL') ?? 'auth.User'
  if (!/^\w+\.\w+$/.test(model)) {
    problems.push(
      `AUTH_USER_MODEL ${JSON.stringify(model)} is no model; write app_label.ModelName, as in settings.py`,
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
    },
    backends: backends.length === 0 ? [MODEL_BACKEND] : backends,
    passwordHashers: hashers.length === 0 ? null : hashers,
  }
}
