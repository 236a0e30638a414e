import { Command, CommanderError } from 'commander'
import { packageVersion } from '../service/package-folder.ts'
import { addClearsessions } from './clearsessions.ts'
import type { Action, AddCommand, CommandContext } from './command.ts'
import { createContext } from './context.ts'
import { addDecode } from './decode.ts'
import { addDoctor } from './doctor.ts'
import { addEncode } from './encode.ts'
import { addExplain } from './explain.ts'
import { addInit } from './init.ts'
import { addLogout } from './logout.ts'
import { problemText } from './problem-text.ts'
import { addServe } from './serve.ts'
import { addSessions } from './sessions.ts'
import { addShow } from './show.ts'

/** Every command, in the order of the help. */
const COMMANDS: readonly AddCommand[] = [
  addServe,
  addInit,
  addDoctor,
  addExplain,
  addShow,
  addSessions,
  addLogout,
  addClearsessions,
  addDecode,
  addEncode,
]

/** The program with all its commands. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('koa-django-sessions')
    .description(
      'Shares the sessions of a Django site. Settings are read from the environment and a .env file.',
    )
    .version(packageVersion(), '--version', 'print the version')
    .showHelpAfterError()
    .configureOutput({ outputError: (text, write) => write(withoutArguments(text)) })
    .exitOverride()
  const action: Action =
    (work) =>
    async (...given) => {
      process.exitCode = await work(context, ...given)
    }
  for (const add of COMMANDS) add(program, action, context)
  for (const command of program.commands) command.copyInheritedSettings(program)
  return program
}

/** Commander's message without the arguments that it repeats: one may be a secret that was given in the wrong place. */
function withoutArguments(text: string): string {
  return text.replace(/( but got \d+): .*\.$/ms, '$1.').replace(/(unknown option '--?[^'=]*)=.*'/s, "$1'")
}

/**
 * Runs the command that the arguments name. The exit status is the command's. An error with a code is one line on
 * standard error and exit status 2, and so is a wrong argument.
 */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await createProgram(createContext(env)).parseAsync(argv)
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2 // Help and the version are not errors.
      return
    }
    if (!(error instanceof Error && 'code' in error)) throw error
    console.error(problemText(error))
    process.exitCode = 2
  }
}
