import type { CommandContext } from './command.ts'

/** The process as a command sees it. */
export function createContext(env: NodeJS.ProcessEnv): CommandContext {
  process.stdout.on('error', stopQuietly)
  let controller: AbortController | null = null
  return {
    env,
    input: process.stdin,
    output: process.stdout,
    errors: process.stderr,
    get interrupted() {
      controller ??= abortBySignal()
      return controller.signal
    },
  }
}

function abortBySignal(): AbortController {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
    })
  }
  return controller
}

/** The reader of the output closed the pipe, e.g. `| head`. The exit status is that of the lines so far. */
function stopQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
