import type { ShownSession } from '../operations/show.ts'
import type { AddCommand, CommandContext, ExitStatus } from './command.ts'
import { writeJson } from './json-output.ts'
import { pastedLines } from './pasted-lines.ts'
import { openGivenProject } from './project.ts'
import { terminalText } from './terminal-text.ts'

export const addShow: AddCommand = (program, action) => {
  program
    .command('show')
    .description('print the session of a key or a Cookie header; reads standard input')
    .option('--reveal', 'print the values, too, except secrets')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(show))
}

const EXAMPLES = `
Standard input has a session key or a Cookie header on each line. It is never an argument: other users of the machine
can see arguments. The session hash, the CSRF token and the password reset token are never printed.

Examples:
  $ koa-django-sessions show < cookie.txt
  $ koa-django-sessions show --reveal < cookie.txt
  $ koa-django-sessions show --json < cookie.txt`

async function show(
  context: CommandContext,
  { json = false, reveal = false }: { readonly json?: boolean; readonly reveal?: boolean },
): Promise<ExitStatus> {
  const { output } = context
  // Only now, so that other commands do not load it.
  const { countText, showSession } = await import('../operations/show.ts')

  function textOf({ keyHash, problem, facts, user, values, hiddenKeys }: ShownSession): string {
    const title = keyHash === null ? 'No session' : `Session with the SHA-256 ${keyHash}…`
    const login =
      user === null
        ? []
        : [['user name', `${user.username} (id ${user.id})${user.isLoggedIn ? '' : ', not logged in'}`]]
    const lines = [
      problem === null ? title : `${title}: ${problem}; koa-django-sessions explain says why`,
      ...[...facts, ...login].map(([name, text]) => `  ${name}: ${text}`),
      ...values.map((value) => {
        const size = `${value.size.toLocaleString('en')} B`
        const shown = value.text === undefined ? '' : ` = ${value.text ?? '(hidden: a secret)'}`
        const count = countText(value)
        return `    ${value.type.padEnd(9)} ${size.padStart(9)}  ${value.key}${count === '' ? '' : ` (${count})`}${shown}`
      }),
      ...(hiddenKeys === 0 ? [] : [`    and ${hiddenKeys.toLocaleString('en')} more`]),
    ]
    return lines.map((line) => terminalText(line, LONGEST_LINE)).join('\n')
  }

  const project = await openGivenProject(context)
  const sessions: ShownSession[] = []
  try {
    for await (const line of pastedLines(context, 'a session key or a Cookie header')) {
      const session = await showSession(project, line, { reveal })
      if (!json) output.write(`${sessions.length === 0 ? '' : '\n'}${textOf(session)}\n`)
      sessions.push(session)
    }
    if (json)
      writeJson(output, 'show/1', {
        sessions: sessions.map(({ facts, ...session }) => ({ ...session, facts: Object.fromEntries(facts) })),
      })
    return sessions.some(({ problem }) => problem !== null) ? 1 : 0
  } finally {
    await project.close()
  }
}

/** Characters: a value is cut before. */
const LONGEST_LINE = 4000
