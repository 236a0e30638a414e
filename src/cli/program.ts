import { Command, Option } from 'commander'
import { decode } from './decode.ts'
import { encode } from './encode.ts'
import { serve } from './serve.ts'

/** Runs the command that the arguments name. Errors of ours are one line on standard error and exit status 1. */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const program = new Command('koa-django-sessions')
    .description("Django's sessions for a Koa site. Settings come from the environment and a .env file.")
    .showHelpAfterError()

  program
    .command('serve')
    .description('serve the pages')
    .action(() => serve(env))
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
    console.error(`${error.name}: ${error.message}`)
    process.exitCode = 1
  }
}

function streams(): {
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
  errors: NodeJS.WritableStream
} {
  process.stdout.on('error', stopQuietly)
  return { input: process.stdin, output: process.stdout, errors: process.stderr }
}

/** Whoever reads our output has seen enough, e.g. `| head`. */
function stopQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
