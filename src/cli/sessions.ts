import { Option } from 'commander'
import { type AddCommand, type CommandContext, type ExitStatus, UsageError } from './command.ts'
import { writeJson } from './json-output.ts'
import { countUpTo } from './option-values.ts'
import { createProgress } from './progress.ts'
import { openGivenProject } from './project.ts'

export const addSessions: AddCommand = (program, action) => {
  program
    .command('sessions')
    .description('list the live sessions of a user')
    .option('--user <name>', 'the user, by the value of USERNAME_FIELD')
    .option('--user-id <id>', 'the user, by primary key; also one that was deleted')
    .addOption(
      new Option('--limit <sessions>', 'the most sessions that are read, of any user').argParser(
        countUpTo(1_000_000_000),
      ),
    )
    .option('--after <place>', 'go on where an earlier run ended')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(sessions))
}

const EXAMPLES = `
Django's table does not say whose session a row is, so every live row is read, without locks. A session is shown by a short
hash of its key, never by its key.

Examples:
  $ koa-django-sessions sessions --user ada
  $ koa-django-sessions sessions --user-id 42 --json
  $ koa-django-sessions sessions --user ada --limit 1000000`

/** What `sessions` and `logout` are told about a user. */
export interface ChosenUser {
  readonly user?: string
  readonly userId?: string
}

interface SessionsArguments extends ChosenUser {
  readonly limit?: number
  readonly after?: string
  readonly json?: boolean
}

/** Sessions that are read before the bar moves, and before the list shows what was found. */
const AT_ONCE = 10_000

/** Sessions of one JSON document, which is built in memory. */
const MOST_IN_JSON = 100_000

async function sessions(
  context: CommandContext,
  { limit = Number.MAX_SAFE_INTEGER, after, json = false, ...chosen }: SessionsArguments,
): Promise<ExitStatus> {
  const { output, errors, interrupted: signal } = context
  const choice = choiceOf(chosen)
  const { findProjectUser, openProjectSessions } = await import('../operations/project-sessions.ts')
  const project = await openGivenProject(context)
  const progress = createProgress({ unit: 'sessions', errors })
  try {
    const stored = await openProjectSessions(project)
    try {
      const user = await findProjectUser(project, choice)
      const total = errors.isTTY ? await stored.count({ signal }) : null
      const unreadable = new Map<string, number>()
      const listed: object[] = []
      let [scanned, found] = [0, 0]
      let next: string | null = after ?? null
      do {
        const page = await stored.list(user, {
          limit: Math.min(AT_ONCE, limit - scanned),
          ...(next !== null && { after: next }),
          signal,
          onProgress: (step) => progress.update({ done: scanned + step.scanned, total }),
        })
        scanned += page.scanned
        for (const [reason, count] of Object.entries(page.unreadable))
          unreadable.set(reason, (unreadable.get(reason) ?? 0) + count)
        if (!json && page.sessions.length > 0) {
          progress.end()
          if (found === 0) output.write(`${HEAD}\n`)
          output.write(page.sessions.map((session) => `${lineOf(session)}\n`).join(''))
        }
        if (json) listed.push(...page.sessions)
        found += page.sessions.length
        next = page.next
      } while (next !== null && scanned < limit && listed.length < MOST_IN_JSON && !signal.aborted)
      progress.end()
      const interrupted = signal.aborted && next !== null
      if (json)
        writeJson(output, 'sessions/1', {
          place: stored.place,
          user: { id: user.id, ...('username' in choice && { username: choice.username }) },
          sessions: listed,
          scanned,
          unreadable: Object.fromEntries(unreadable),
          next,
          interrupted,
        })
      else errors.write(`${found} live ${found === 1 ? 'session' : 'sessions'} of ${nameOf(choice)}\n`)
      warnOfUnreadable(errors, unreadable)
      if (next !== null) errors.write(`Not everything was read. Go on with --after ${next}\n`)
      return interrupted ? 130 : 0
    } finally {
      await stored.close()
    }
  } finally {
    progress.end()
    await project.close()
  }
}

/** @throws {UsageError} unless exactly one of the two was given. */
export function choiceOf({ user, userId }: ChosenUser): { username: string } | { id: string } {
  if (user !== undefined && userId === undefined) return { username: user }
  if (userId !== undefined && user === undefined) return { id: userId }
  throw new UsageError('say which user: either --user NAME or --user-id ID')
}

/** The user as messages name it. */
export function nameOf(choice: { username: string } | { id: string }): string {
  return printable('username' in choice ? choice.username : `the user with the id ${choice.id}`)
}

/** Says how many sessions are nobody's that is known. */
export function warnOfUnreadable(
  errors: NodeJS.WritableStream,
  unreadable: ReadonlyMap<string, number>,
): void {
  const total = [...unreadable.values()].reduce((sum, count) => sum + count, 0)
  if (total === 0) return
  const reasons = [...unreadable].map(([reason, count]) => `${reason}: ${count}`).join(', ')
  errors.write(
    `${total} live sessions cannot be read (${reasons}), so it is not known whose they are; koa-django-sessions doctor says why\n`,
  )
}

interface Listed {
  readonly id: string
  readonly created: Date | null
  readonly changed: Date | null
  readonly expires: Date
  readonly ip: string | null
  readonly userAgent: string | null
}

const HEAD = ['id', 'created', 'last change', 'expires', 'address', 'browser']
  .map((title, at) => title.padEnd([12, 20, 20, 20, 15, 0][at] ?? 0))
  .join('  ')

function lineOf({ id, created, changed, expires, ip, userAgent }: Listed): string {
  const date = (instant: Date | null) => (instant === null ? '–' : instant.toISOString().replace(/\.\d+/, ''))
  return [
    id,
    date(created).padEnd(20),
    date(changed).padEnd(20),
    date(expires).padEnd(20),
    printable(ip ?? '–').padEnd(15),
    printable(userAgent ?? '–'),
  ].join('  ')
}

/** A visitor's text, without characters that would move the terminal's cursor. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '\u{fffd}')
}
