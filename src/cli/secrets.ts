import { readSettings, type Settings, SettingsError } from '../settings.ts'

/** The secret keys and the Django version, for a command that needs no database. @throws {SettingsError} */
export function readSecrets(env: NodeJS.ProcessEnv): {
  secretKeys: NonNullable<Settings['secretKeys']>
  djangoVersion: string | null
} {
  const { secretKeys, djangoVersion } = readSettings(env)
  if (secretKeys !== null) return { secretKeys, djangoVersion }
  throw new SettingsError(['DJANGO_SECRET_KEY is empty; set it to the SECRET_KEY of the Django project'])
}
