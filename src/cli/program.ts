import { Command, Option } from 'commander'
import { decode } from './decode.ts'
import { encode } from './encode.ts'
import { problemText } from './problem-text.ts'
import { serve } from './serve.ts'

/** Runs the command that the arguments name. Errors of ours are one line on standard error and exit status 1. */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const program = new Command('koa-django-sessions')
    .description("Django's sessions for a Koa site. Settings come from the environment and a .env file.")
    .showHelpAfterError()

  program
    .command('serve')
    .description('serve the pages')
    .action(() => serve(env).catch(endWith1))
  program
    .command('decode')
    .description('session_data, one value a line on standard input, to its JSON text')
    .option('-v, --verbose', 'say on standard error which format and which key each value has')
    .action(async ({ verbose = false }: { verbose?: boolean }) => {
      process.exitCode = await decode({ env, verbose, ...streams() })
    })
  program
    .command('encode')
    .description('JSON objects, one a line on standard input, to session_data')
    .addOption(
      new Option('--format <format>', 'the format; by default that of DJANGO_VERSION').choices([
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

/** At once: a start that was refused may have left something open that would keep the process for long. */
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

/** The reader of the output has seen enough, e.g. `| head`. The status is what the lines so far have earned. */
function stopQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
