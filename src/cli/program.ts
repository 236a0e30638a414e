import { Command, Option } from 'commander'
import { decode } from './decode.ts'
import { encode } from './encode.ts'
import { problemText } from './problem-text.ts'
import { serve } from './serve.ts'

/** Runs the command that the arguments name. An error with a code is one line on standard error and exit status 1. */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const program = new Command('koa-django-sessions')
    .description(
      'A service beside a Django site that shares its sessions. Settings are read from the environment and a .env file.',
    )
    .showHelpAfterError()

  program
    .command('serve')
    .description('start the service')
    .action(() => serve(env).catch(endWith1))
  program
    .command('decode')
    .description('read session_data values from standard input, one per line, and print them as JSON')
    .option('-v, --verbose', 'print the format and the key of each value on standard error')
    .action(async ({ verbose = false }: { verbose?: boolean }) => {
      process.exitCode = await decode({ env, verbose, ...streams() })
    })
  program
    .command('encode')
    .description('read JSON objects from standard input, one per line, and print them as session_data')
    .addOption(
      new Option('--format <format>', 'the format (default: that of DJANGO_VERSION)').choices([
        'legacy',
        'signed',
      ]),
    )
    .action(async ({ format }: { format?: 'legacy' | 'signed' }) => {
      process.exitCode = await encode({ env, format, ...streams() })
    })

  try {
    await program.parseAsync(argv)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    console.error(problemText(error))
    process.exitCode = 1
  }
}

/** Exits immediately: after a failed start, an open handle could keep the process running. */
function endWith1(error: unknown): void {
  console.error(problemText(error))
  process.exit(1)
}

function streams(): {
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
  errors: NodeJS.WritableStream
} {
  process.stdout.on('error', stopQuietly)
  return { input: process.stdin, output: process.stdout, errors: process.stderr }
}

/** The reader of the output closed the pipe, e.g. `| head`. The exit status is that of the lines so far. */
function stopQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
