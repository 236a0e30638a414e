import type { Command } from 'commander'

/**
 * What a command ended with: 0 for success or warnings, 1 when a check failed or an input was refused, 2 when the command
 * could not do its work or was used wrongly, 130 after Ctrl-C.
 */
export type ExitStatus = 0 | 1 | 2 | 130

/** What a command gets from the process. Data goes to `output`; all that is said to people goes to `errors`. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
  readonly errors: NodeJS.WriteStream
  /**
   * Aborted at the first SIGINT or SIGTERM after the first read of this property; the second signal ends the process. A
   * command that never reads it ends at the first signal, as any process does.
   */
  readonly interrupted: AbortSignal
}

/** Makes the action of a command: runs the work, and sets the exit status. */
export type Action = <Given extends unknown[]>(
  work: (context: CommandContext, ...given: Given) => Promise<ExitStatus>,
) => (...given: Given) => Promise<void>

/** Adds one command to the program. Each file of this folder named after a command exports one. */
export type AddCommand = (program: Command, action: Action, context: CommandContext) => void

/** The arguments do not make sense together, or an answer is missing. Exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError'
  readonly code: string = 'ERR_USAGE'
}
