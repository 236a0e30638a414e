import { CAUSES, OUTCOMES } from '../../src/operations/explain/causes.ts'
import { code, generatedFrom, table } from './markdown.ts'

/** docs/explain.md: a row for each cause, and one for each outcome. */
export function explainPage(): string {
  const causes = Object.entries(CAUSES).map(([id, { summary, hint, isProblem }]) => [
    code(id),
    `${isProblem ? '' : 'note: '}${summary}`,
    hint,
  ])
  const outcomes = Object.entries(OUTCOMES).map(([id, text]) => [code(id), text])
  return `${generatedFrom('src/operations/explain/causes.ts')}
# What explain finds

${INTRODUCTION}

## Causes

${table(['id', 'what it says', 'what to do'], causes)}

## Outcomes

${table(['outcome', 'the side'], outcomes)}
`
}

const INTRODUCTION = `\`koa-django-sessions explain\` takes a Cookie header, a session key or a \`session_data\` text on standard input, and says
what Django and this service make of it, and why: [Commands](commands.md#explain-and-show). "Django" is a Django with the
settings that this service has. If the real Django does something else, its settings differ: run
[the doctor](doctor.md).

With \`--json\`, each cause and each outcome has a stable id. A note is not a problem: the exit status stays 0.`
