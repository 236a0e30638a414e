/** The serializers that SESSION_SERIALIZER names by a dotted path. Source: django/contrib/sessions/serializers.py. */
import type { VersionProfile } from './versions.ts'

/** Django's JSONSerializer and PickleSerializer. */
export type SerializerName = 'json' | 'pickle'

/** Django's global_settings.py. */
export const DEFAULT_SESSION_SERIALIZER = 'django.contrib.sessions.serializers.JSONSerializer'

/** Each serializer that is supported, by its dotted path; Django's default first. */
export const SESSION_SERIALIZERS: ReadonlyMap<string, SerializerName> = new Map([
  [DEFAULT_SESSION_SERIALIZER, 'json'],
  ['django.contrib.sessions.serializers.PickleSerializer', 'pickle'],
])

/**
 * Returns the serializer that SESSION_SERIALIZER names.
 * @throws {TypeError} if the path is not one of Django's serializers, or this Django does not have it.
 */
export function serializerNamed(path: string, profile: VersionProfile): SerializerName {
  const name = SESSION_SERIALIZERS.get(path)
  if (name === undefined) {
    const known = [...SESSION_SERIALIZERS.keys()].join(' or ')
    throw new TypeError(`${JSON.stringify(path)} is not a serializer of Django; use ${known}`)
  }
  if (name === 'pickle' && !profile.hasPickleSerializer)
    throw new TypeError(
      `Django ${profile.version} has no PickleSerializer, which Django 5.0 removed; use the serializer in settings.py`,
    )
  return name
}
