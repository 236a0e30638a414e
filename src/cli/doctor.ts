import { InvalidArgumentError, Option } from 'commander'
import { TAGS, type Tag } from '../operations/doctor/check.ts'
import type { Finding } from '../operations/doctor/examine.ts'
import { type AddCommand, type CommandContext, type ExitStatus, UsageError } from './command.ts'
import { writeJson } from './json-output.ts'

export const addDoctor: AddCommand = (program, action) => {
  program
    .command('doctor')
    .description('say whether sessions are shared with Django, and if not, why and what to do')
    .option('--json', 'print one JSON document')
    .addOption(
      new Option('--fail-level <level>', 'exit with 1 from this level on')
        .choices(['error', 'warning'])
        .default('error'),
    )
    .addOption(
      new Option('--tag <tag>', `only the checks of this group; may be repeated: ${TAGS.join(', ')}`)
        .argParser(tagsSoFar)
        .default([]),
    )
    .addOption(
      new Option('--silence <id>', 'leave this check out; may be repeated')
        .argParser((id: string, before: readonly string[]) => [...before, id])
        .default([]),
    )
    .addHelpText('after', EXAMPLES)
    .action(action(doctor))
}

const EXAMPLES = `
Examples:
  $ koa-django-sessions doctor
  $ koa-django-sessions doctor --tag sessions --json
  $ koa-django-sessions doctor --silence database.W001 --fail-level warning`

interface DoctorArguments {
  readonly json?: boolean
  readonly failLevel: 'error' | 'warning'
  readonly tag: readonly Tag[]
  readonly silence: readonly string[]
}

async function doctor(context: CommandContext, given: DoctorArguments): Promise<ExitStatus> {
  const { env, output, interrupted } = context
  // Only now, so that other commands do not load it.
  const { readSettings } = await import('../service/settings/settings.ts')
  const { openProject } = await import('../operations/open-project.ts')
  const { examine } = await import('../operations/doctor/examine.ts')
  const { CHECKS } = await import('../operations/doctor/checks.ts')
  const { findingText } = await import('../operations/doctor/report.ts')
  const { unopenedFinding } = await import('../operations/doctor/unopened.ts')

  const unknown = given.silence.filter((id) => !CHECKS.some((check) => check.id === id))
  if (unknown.length > 0)
    throw new UsageError(`--silence ${unknown.join(', ')}: there is no such check; see docs/doctor.md`)
  const project = await openProject(readSettings(env)).catch((error) => {
    const isChosen = given.tag.length === 0 || given.tag.includes('database')
    if (!isChosen || given.silence.includes('database.E001')) throw error
    return unopenedFinding(error)
  })
  if ('id' in project) {
    if (given.json !== true) output.write(`${findingText(project, output)}\n`)
    return report([project], output, given)
  }
  try {
    const findings = await examine({
      evidence: { project, django: null, roundTrip: null, signal: interrupted },
      ...(given.tag.length > 0 && { tags: given.tag }),
      silenced: given.silence,
      ...(given.json !== true && {
        onFinding: (finding) => output.write(`${findingText(finding, output)}\n`),
      }),
    })
    if (interrupted.aborted) return 130
    return report(findings, output, given)
  } finally {
    await project.close()
  }
}

/** Writes the verdict, or the whole document. Returns the exit status. */
async function report(
  findings: readonly Finding[],
  output: NodeJS.WriteStream,
  given: DoctorArguments,
): Promise<ExitStatus> {
  const { verdictOf } = await import('../operations/doctor/examine.ts')
  const { docsOf, outcomeOf, verdictText } = await import('../operations/doctor/report.ts')
  const verdict = verdictOf(findings)
  if (given.json === true) {
    const documented = findings.map(({ result, ...finding }) => ({
      ...finding,
      ...result,
      outcome: outcomeOf({ ...finding, result }).toLowerCase(),
      docs: docsOf(finding.id),
    }))
    writeJson(output, 'doctor/1', { verdict, findings: documented })
  } else output.write(`${verdictText(findings)}\n`)
  return verdict === 'error' || (verdict === 'warning' && given.failLevel === 'warning') ? 1 : 0
}

function tagsSoFar(tag: string, before: readonly Tag[]): Tag[] {
  const known = TAGS.find((one) => one === tag)
  if (known === undefined) throw new InvalidArgumentError(`The groups are ${TAGS.join(', ')}.`)
  return [...before, known]
}
