import { Option } from 'commander'
import { canonicalize, parseObject } from '../django/json.ts'
import { createSessionCodec } from '../django/session-data.ts'
import { type SessionFormat, versionProfile } from '../django/versions.ts'
import type { AddCommand } from './command.ts'
import { convertLines, type LinesOptions } from './lines.ts'

export const addEncode: AddCommand = (program, action) => {
  const format = new Option('--format <format>', 'the format (default: that of DJANGO_VERSION)').choices([
    'legacy',
    'signed',
  ])
  program
    .command('encode')
    .description('read JSON objects from standard input, one per line, and print them as session_data')
    .addOption(format)
    .addHelpText('after', EXAMPLES)
    .action(
      action((context, given: { format?: SessionFormat }) => encode({ ...context, format: given.format })),
    )
}

const EXAMPLES = `
Examples:
  $ echo '{"num_visits": 1}' | koa-django-sessions encode
  $ echo '{"num_visits": 1}' | koa-django-sessions encode --format legacy`

interface EncodeOptions extends LinesOptions {
  readonly env: NodeJS.ProcessEnv
  readonly format: SessionFormat | undefined
}

const VERSION_OF = { legacy: '2.2', signed: '6.1' } as const

/** Prints JSON objects as `session_data` values. Default of `format`: that of DJANGO_VERSION. */
async function encode({ env, format, ...streams }: EncodeOptions): Promise<0 | 1> {
  // Only now, so that other commands do not load the settings.
  const { readSecrets } = await import('./secrets.ts')
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
