import type { SessionCodecOptions } from '../../django/session-data.ts'
import { serializerNamed } from '../../django/session-serializers.ts'
import type { Settings } from './settings.ts'

/** How the session engine of these settings reads and writes texts. */
export function codecOptionsOf(
  { session }: Settings,
  { secretKeys, profile, now }: Pick<SessionCodecOptions, 'secretKeys' | 'profile' | 'now'>,
): SessionCodecOptions {
  const { storeClass, serializer, maxInflatedBytes } = session
  return {
    secretKeys,
    profile,
    serializer: serializerNamed(serializer, profile),
    maxInflatedBytes,
    ...(storeClass !== null && { storeClass }),
    now,
  }
}
