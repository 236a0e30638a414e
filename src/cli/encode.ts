import { canonicalize, parseObject } from '../django/json.ts'
import { createSessionCodec } from '../django/session-data.ts'
import { type SessionFormat, versionProfile } from '../django/versions.ts'
import { convertLines, type LinesOptions } from './lines.ts'
import { readSecrets } from './secrets.ts'

export interface EncodeOptions extends LinesOptions {
  readonly env: NodeJS.ProcessEnv
  readonly format: SessionFormat | undefined
}

const VERSION_OF = { legacy: '2.2', signed: '6.1' } as const

/** Prints JSON objects as `session_data` values. Default of `format`: that of DJANGO_VERSION. */
export async function encode({ env, format, ...streams }: EncodeOptions): Promise<0 | 1> {
  const { secretKeys, djangoVersion, serializer } = readSecrets(env)
  const version = format === undefined ? (djangoVersion ?? VERSION_OF.signed) : VERSION_OF[format]
  const codec = createSessionCodec({
    secretKeys,
    profile: versionProfile(version),
    serializer,
    now: () => new Date(),
  })
  // Canonicalized first: the input is UTF-8, and the stored text must be ASCII.
  return convertLines(streams, (line) => codec.encode(parseObject(canonicalize(line))))
}
