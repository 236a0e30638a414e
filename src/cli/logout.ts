import { text } from 'node:stream/consumers'
import { isStorableKey, isValidSessionKey } from '../django/session-key.ts'
import type { Project } from '../operations/open-project.ts'
import type { openProjectSessions } from '../operations/project-sessions.ts'
import { type AddCommand, type CommandContext, type ExitStatus, UsageError } from './command.ts'
import { confirm } from './confirm.ts'
import { writeJson } from './json-output.ts'
import { countUpTo } from './option-values.ts'
import { createProgress } from './progress.ts'
import { openGivenProject } from './project.ts'
import { type ChosenUser, choiceOf, nameOf, warnOfUnreadable } from './sessions.ts'

export const addLogout: AddCommand = (program, action) => {
  program
    .command('logout')
    .description('delete the sessions of a user, or of everybody')
    .option('--user <name>', 'the user, by the value of USERNAME_FIELD')
    .option('--user-id <id>', 'the user, by primary key; also one that was deleted')
    .option('--everybody', 'every session, also those of visitors without a login')
    .option('--all-but-stdin', 'keep the session whose key is on standard input')
    .option('--limit <sessions>', 'the most sessions that are read, of any user', countUpTo(1_000_000_000))
    .option('--after <place>', 'go on where an earlier run ended')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(logout))
}

const EXAMPLES = `
A session is deleted only while it is this user's. Sessions that cannot be read stay, except with --everybody.
Where a password is known to others, change the password first: a login while the command runs may stay.

Examples:
  $ koa-django-sessions logout --user ada
  $ koa-django-sessions logout --user-id 42 --yes --json
  $ koa-django-sessions logout --user ada --all-but-stdin --yes < key.txt
  $ koa-django-sessions logout --everybody --yes`

interface LogoutArguments extends ChosenUser {
  readonly everybody?: boolean
  readonly allButStdin?: boolean
  readonly limit?: number
  readonly after?: string
  readonly yes?: boolean
  readonly json?: boolean
}

async function logout(context: CommandContext, given: LogoutArguments): Promise<ExitStatus> {
  check(given)
  const exceptKey = given.allButStdin === true ? await keyOn(context) : null
  const { openProjectSessions } = await import('../operations/project-sessions.ts')
  const project = await openGivenProject(context)
  try {
    const stored = await openProjectSessions(project)
    let copiesLeft = 0
    let work: Work
    try {
      work =
        given.everybody === true
          ? await logOutAll(context, given, stored)
          : await logOutUser(context, given, { project, stored, exceptKey })
    } finally {
      copiesLeft = (await stored.close()).copiesLeft
    }
    return report(context, given, { ...work, copiesLeft })
  } finally {
    await project.close()
  }
}

type Opened = Awaited<ReturnType<typeof openProjectSessions>>

/** What was done; null: the answer was no. */
type Work = {
  /** For people. */
  readonly text: string
  readonly document: object
  readonly next: string | null
  readonly interrupted: boolean
  readonly unreadable: ReadonlyMap<string, number>
} | null

async function logOutUser(
  context: CommandContext,
  { yes, limit, after, ...chosen }: LogoutArguments,
  { project, stored, exceptKey }: { project: Project; stored: Opened; exceptKey: string | null },
): Promise<Work> {
  const { errors, interrupted: signal } = context
  const { findProjectUser } = await import('../operations/project-sessions.ts')
  const choice = choiceOf(chosen)
  const user = await findProjectUser(project, choice)
  const question = `Delete ${exceptKey === null ? 'all' : 'all other'} sessions of ${nameOf(choice)} in ${stored.place}?`
  if (yes !== true && !(await confirm(context, question))) return null
  const progress = createProgress({ unit: 'sessions', errors })
  try {
    const total = errors.isTTY ? await stored.count({ signal }) : null
    const { deleted, changed, scanned, unreadable, next } = await stored.logOut(user, {
      ...(exceptKey !== null && { exceptKey }),
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { after }),
      signal,
      onProgress: (step) => progress.update({ done: step.scanned, total }),
    })
    return {
      text: `Deleted ${deleted} ${deleted === 1 ? 'session' : 'sessions'} of ${nameOf(choice)} in ${stored.place}.`,
      document: {
        place: stored.place,
        user: { id: user.id, ...('username' in choice && { username: choice.username }) },
        deleted,
        changed,
        scanned,
        unreadable,
      },
      next,
      interrupted: signal.aborted && next !== null,
      unreadable: new Map(Object.entries(unreadable)),
    }
  } finally {
    progress.end()
  }
}

async function logOutAll(context: CommandContext, { yes }: LogoutArguments, stored: Opened): Promise<Work> {
  const { errors, interrupted: signal } = context
  const total = errors.isTTY ? await stored.count({ signal }) : null
  const all = total === null ? 'all sessions' : `all ${total.toLocaleString('en')} sessions`
  const question = `Delete ${all} in ${stored.place}? Every visitor is logged out and loses what is stored for them, such as a cart.`
  if (yes !== true && !(await confirm(context, question))) return null
  const progress = createProgress({ unit: 'sessions', errors })
  try {
    const { deleted } = await stored.logOutAll({
      signal,
      onProgress: (step) => progress.update({ done: step.deleted, total }),
    })
    return {
      text: `Deleted ${deleted.toLocaleString('en')} ${deleted === 1 ? 'session' : 'sessions'} in ${stored.place}.`,
      document: { place: stored.place, user: null, deleted },
      next: null,
      interrupted: signal.aborted,
      unreadable: new Map(),
    }
  } finally {
    progress.end()
  }
}

function report(
  { output, errors }: CommandContext,
  { json = false }: LogoutArguments,
  work: (Work & { copiesLeft: number }) | { copiesLeft: number },
): ExitStatus {
  if (!('document' in work)) {
    errors.write('Nothing was deleted.\n')
    return 2
  }
  const { text, document, next, interrupted, unreadable, copiesLeft } = work
  if (json) writeJson(output, 'logout/1', { ...document, next, interrupted, copiesLeft })
  else output.write(`${text}\n`)
  warnOfUnreadable(errors, unreadable)
  if (next !== null) errors.write(`Not everything was read. Go on with --after ${next}\n`)
  else if (interrupted) errors.write('Ended before everything was done; run the command again.\n')
  if (copiesLeft > 0)
    errors.write(
      `${copiesLeft} copies in the cache could not be removed, because it does not answer; Django serves them until they expire. Run the command again, or clear the cache\n`,
    )
  if (interrupted) return 130
  return copiesLeft > 0 ? 1 : 0
}

/** @throws {UsageError} */
function check({ everybody, allButStdin, limit, after, yes, ...chosen }: LogoutArguments): void {
  if (everybody !== true) choiceOf(chosen)
  else if (chosen.user !== undefined || chosen.userId !== undefined)
    throw new UsageError('--everybody is every user: leave out --user and --user-id')
  else if (allButStdin === true || limit !== undefined || after !== undefined)
    throw new UsageError('--everybody deletes every session: leave out --all-but-stdin, --limit and --after')
  if (allButStdin === true && yes !== true)
    throw new UsageError('--all-but-stdin reads standard input, so no answer can be read from it; add --yes')
}

/** The session key on standard input; a line end after it does not count. @throws {UsageError} which does not quote it. */
async function keyOn({ input }: CommandContext): Promise<string> {
  if (input.isTTY)
    throw new UsageError(
      '--all-but-stdin: a terminal would show the key; redirect a file or a pipe to standard input',
    )
  const key = (await text(input)).trim()
  if (isValidSessionKey(key) && isStorableKey(key, 255)) return key
  throw new UsageError(
    '--all-but-stdin: standard input must hold one session key, the value of the session cookie',
  )
}
