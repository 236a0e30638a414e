import type { Explanation } from '../operations/explain.ts'
import type { AddCommand, CommandContext, ExitStatus } from './command.ts'
import { writeJson } from './json-output.ts'
import { pastedLines } from './pasted-lines.ts'
import { openGivenProject } from './project.ts'
import { terminalText } from './terminal-text.ts'

export const addExplain: AddCommand = (program, action) => {
  program
    .command('explain')
    .description('say what Django and this service make of a session, and why; reads standard input')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(explain))
}

const EXAMPLES = `
Standard input has one of these on each line: a Cookie header, a session key, a session_data text.
It is never an argument: other users of the machine can see arguments.

Examples:
  $ koa-django-sessions explain < cookie.txt
  $ mysql -N -e 'select session_data from django_session limit 5' | koa-django-sessions explain
  $ koa-django-sessions explain --json < cookie.txt`

const INPUT = 'a Cookie header, a session key or a session_data text'

async function explain(
  context: CommandContext,
  { json = false }: { readonly json?: boolean },
): Promise<ExitStatus> {
  const { output } = context
  // Only now, so that other commands do not load it.
  const { createExplainer, explanationDocument, hasProblem } = await import('../operations/explain.ts')
  const { CAUSES, OUTCOMES, summaryOf } = await import('../operations/explain/causes.ts')

  /** The cause first, then what was found, then what to do. */
  function textOf({ input, keyHash, summary, findings, django, here, facts }: Explanation): string {
    const [, ...others] = findings
    const hints = new Set(findings.map(({ cause }) => CAUSES[cause].hint))
    const lines = [
      ['Django', OUTCOMES[django]],
      ['here', here === django ? `the same: ${OUTCOMES[here]}` : OUTCOMES[here]],
      ...others.map((finding) => ['also', summaryOf(finding)]),
      ['read', keyHash === null ? INPUTS[input] : `${INPUTS[input]}, SHA-256 ${keyHash}…`],
      ...facts,
      ...[...hints].map((hint) => ['to do', hint]),
    ]
    return [summary, ...lines.map(([name, text]) => `  ${name}: ${text}`)]
      .map((line) => terminalText(line))
      .join('\n')
  }

  const project = await openGivenProject(context)
  const explainer = createExplainer(project)
  const explanations: Explanation[] = []
  try {
    for await (const line of pastedLines(context, INPUT)) {
      const explanation = await explainer.explain(line)
      if (!json) output.write(`${explanations.length === 0 ? '' : '\n'}${textOf(explanation)}\n`)
      explanations.push(explanation)
    }
    if (json) writeJson(output, 'explain/1', { sessions: explanations.map(explanationDocument) })
    return explanations.some(hasProblem) ? 1 : 0
  } finally {
    await explainer.close()
    await project.close()
  }
}

const INPUTS: Readonly<Record<Explanation['input'], string>> = {
  cookies: 'a Cookie header',
  key: 'a session key',
  'session-data': 'a session_data text; nothing was looked up for it but the user',
}
