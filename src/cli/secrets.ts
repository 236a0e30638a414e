import { SESSION_SERIALIZERS, type SerializerName } from '../django/session-serializers.ts'
import { readSettings, type Settings, SettingsError } from '../service/settings/settings.ts'

/** Reads the settings of a command that needs no database: keys, Django version, serializer. @throws {SettingsError} */
export function readSecrets(env: NodeJS.ProcessEnv): {
  secretKeys: NonNullable<Settings['secretKeys']>
  djangoVersion: string | null
  serializer: SerializerName
} {
  const { secretKeys, profile, session } = readSettings(env)
  const serializer = SESSION_SERIALIZERS.get(session.serializer) ?? 'json'
  if (secretKeys !== null) return { secretKeys, djangoVersion: profile?.version ?? null, serializer }
  throw new SettingsError(['DJANGO_SECRET_KEY is empty; set it to the SECRET_KEY of the Django project'])
}
