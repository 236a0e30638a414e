import { canonicalize, stringifyObject } from '../django/json.ts'
import { createSessionCodec } from '../django/session-data.ts'
import { type VersionProfile, versionProfile } from '../django/versions.ts'
import type { AddCommand } from './command.ts'
import { convertLines, type LinesOptions } from './lines.ts'

export const addDecode: AddCommand = (program, action) => {
  program
    .command('decode')
    .description('read session_data values from standard input, one per line, and print them as JSON')
    .option('-v, --verbose', 'print the format and the key of each value on standard error')
    .addHelpText('after', EXAMPLES)
    .action(action((context, { verbose = false }: { verbose?: boolean }) => decode({ ...context, verbose })))
}

const EXAMPLES = `
Examples:
  $ mysql -N -e 'select session_data from django_session limit 5' | koa-django-sessions decode --verbose
  $ koa-django-sessions decode < values.txt`

interface DecodeOptions extends LinesOptions {
  readonly env: NodeJS.ProcessEnv
  readonly verbose: boolean
}

/** Reads the formats of all supported Django versions. */
const ANY_VERSION: VersionProfile = {
  ...versionProfile('6.1'),
  reads: ['signed', 'legacy'],
  signatureAlgorithms: ['sha256', 'sha1'],
}

/**
 * Prints `session_data` values as JSON text in Python's form. A value that only a pickle can contain is an error.
 * Without DJANGO_VERSION, both formats are read.
 */
async function decode({ env, verbose, ...streams }: DecodeOptions): Promise<0 | 1> {
  // Only now, so that other commands do not load the settings.
  const { readSecrets } = await import('./secrets.ts')
  const { secretKeys, djangoVersion, serializer } = readSecrets(env)
  const profile = djangoVersion === null ? ANY_VERSION : versionProfile(djangoVersion)
  const codec = createSessionCodec({ secretKeys, profile, serializer, now: () => new Date() })
  return convertLines(streams, (line, number) => {
    const { data, format, keyIndex } = codec.decode(line)
    if (verbose) {
      const key = keyIndex === 0 ? 'DJANGO_SECRET_KEY' : `fallback key ${keyIndex}`
      streams.errors.write(`line ${number}: ${format} format, ${key}\n`)
    }
    return canonicalize(stringifyObject(data))
  })
}
