import type { AddCommand } from './command.ts'
import { problemText } from './problem-text.ts'

export const addServe: AddCommand = (program, _action, { env }) => {
  program
    .command('serve')
    .description('start the service')
    .addHelpText('after', EXAMPLES)
    .action(() => serve(env).catch(endWith1))
}

const EXAMPLES = `
Examples:
  $ koa-django-sessions serve
  $ DATABASE_URL=mysql://user:password@host/name DJANGO_SECRET_KEY=... koa-django-sessions serve`

async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  // Only now, so that other commands do not load the service.
  const { startService } = await import('./start-service.ts')
  await startService(env)
}

/** Exits immediately: after a failed start, an open handle could keep the process running. */
function endWith1(error: unknown): void {
  console.error(problemText(error))
  process.exit(1)
}
