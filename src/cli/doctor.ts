import { InvalidArgumentError, Option } from 'commander'
import { type DjangoAnswers, type Evidence, TAGS, type Tag } from '../operations/doctor/check.ts'
import type { Finding } from '../operations/doctor/examine.ts'
import type { Settings } from '../service/settings/settings.ts'
import { type AddCommand, type CommandContext, type ExitStatus, UsageError } from './command.ts'
import { writeJson } from './json-output.ts'

export const addDoctor: AddCommand = (program, action) => {
  program
    .command('doctor')
    .description('say whether sessions are shared with Django, and if not, why and what to do')
    .option('--json', 'print one JSON document')
    .option('--django <manage.py>', 'also compare with this Django project, setting by setting')
    .option('--python <path>', 'the Python that runs manage.py (default: found beside manage.py)')
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
    .addOption(
      new Option(
        '--round-trip [url]',
        'visit Django at this URL (default: DJANGO_UPSTREAM) and this service in turns, as one visitor',
      ).argParser(urlOf),
    )
    .addOption(
      new Option('--here <url>', 'where this service answers (default: HOST and PORT)').argParser(urlOf),
    )
    .addHelpText('after', EXAMPLES)
    .action(action(doctor))
}

const EXAMPLES = `
Examples:
  $ koa-django-sessions doctor
  $ koa-django-sessions doctor --django ../site/manage.py
  $ koa-django-sessions doctor --tag sessions --json
  $ koa-django-sessions doctor --round-trip http://127.0.0.1:8000
  $ koa-django-sessions doctor --silence database.W001 --fail-level warning`

interface DoctorArguments {
  readonly json?: boolean
  readonly django?: string
  readonly python?: string
  readonly failLevel: 'error' | 'warning'
  readonly tag: readonly Tag[]
  readonly silence: readonly string[]
  /** True: without a URL. */
  readonly roundTrip?: URL | true
  readonly here?: URL
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
  const { ownHost } = await import('../operations/doctor/django-pages.ts')
  const settings = readSettings(env)
  const ours = new URL(`http://${ownHost(settings.host)}:${settings.port}`)
  const roundTrip = roundTripOf(given, settings.upstream, ours)
  const isAsked = { roundtrip: roundTrip !== null, django: given.django !== undefined }
  const tags =
    given.tag.length > 0
      ? given.tag
      : TAGS.filter((tag) => !Object.hasOwn(isAsked, tag) || isAsked[tag as keyof typeof isAsked])
  if (tags.includes('roundtrip') && roundTrip === null)
    throw new UsageError('--tag roundtrip: the round trip needs --round-trip URL, the address of Django')
  const django = await askIfNamed(context, given)
  if (interrupted.aborted) return 130
  const project = await openProject(settings).catch((error) => {
    if (!tags.includes('database') || given.silence.includes('database.E001')) throw error
    return unopenedFinding(error)
  })
  if ('id' in project) {
    if (given.json !== true) output.write(`${findingText(project, output)}\n`)
    return report([project], output, given)
  }
  try {
    const findings = await examine({
      evidence: { project, django, roundTrip, signal: interrupted },
      tags,
      silenced: given.silence,
      ...(given.json !== true && {
        onFinding: (finding) => {
          if (finding.result.outcome !== 'skipped') output.write(`${findingText(finding, output)}\n`)
        },
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
  const { findingsAsJson, skippedText, verdictText } = await import('../operations/doctor/report.ts')
  const verdict = verdictOf(findings)
  if (given.json === true) {
    writeJson(output, 'doctor/1', { verdict, findings: findingsAsJson(findings) })
  } else output.write(`${skippedText(findings, output)}${verdictText(findings)}\n`)
  return verdict === 'error' || (verdict === 'warning' && given.failLevel === 'warning') ? 1 : 0
}

/** The addresses of both sides; null without `--round-trip`. @throws {UsageError} */
function roundTripOf(
  { roundTrip: django, here }: DoctorArguments,
  upstream: Settings['upstream'],
  ours: URL,
): Evidence['roundTrip'] {
  if (django === undefined) {
    if (here !== undefined) throw new UsageError('--here needs --round-trip, which visits this address')
    return null
  }
  const address = django === true ? upstream && new URL(upstream.url) : django
  if (address === null)
    throw new UsageError('--round-trip needs the URL of Django: DJANGO_UPSTREAM is not set')
  return { django: address, here: here ?? ours }
}

/** @throws {InvalidArgumentError} */
function urlOf(text: string): URL {
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:', 'unix:'].includes(url.protocol))
    throw new InvalidArgumentError('Write http://host:port, https://host or unix:/path/to/socket.')
  if (url.username !== '' || url.password !== '')
    throw new InvalidArgumentError('Leave user and password out: the doctor sends neither.')
  return url
}

/** Null without `--django`, and after Ctrl-C. @throws {CannotAskDjango} */
async function askIfNamed(
  context: CommandContext,
  { django, python }: DoctorArguments,
): Promise<DjangoAnswers | null> {
  if (django === undefined) {
    if (python !== undefined) throw new UsageError('--python is for --django; add --django path/to/manage.py')
    return null
  }
  const { askProject } = await import('./django-project.ts')
  return askProject(context, { managePy: django, python })
}

function tagsSoFar(tag: string, before: readonly Tag[]): Tag[] {
  const known = TAGS.find((one) => one === tag)
  if (known === undefined) throw new InvalidArgumentError(`The groups are ${TAGS.join(', ')}.`)
  return [...before, known]
}
