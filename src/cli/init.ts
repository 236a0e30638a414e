import { basename, resolve } from 'node:path'
import type { Note } from '../operations/import-settings/take-over.ts'
import type { SettingName } from '../service/settings/definitions.ts'
import type { AddCommand, CommandContext, ExitStatus } from './command.ts'
import { confirm } from './confirm.ts'
import type { AskedProject } from './django-project.ts'
import { writeJson } from './json-output.ts'

export const addInit: AddCommand = (program, action) => {
  program
    .command('init')
    .argument('<manage.py>', "the path of the Django project's manage.py")
    .description('ask a Django project for its settings, write them into .env, and check them')
    .option('--python <path>', 'the Python that runs manage.py (default: found beside manage.py)')
    .option('--settings <module>', 'as for manage.py: the module of the settings')
    .option('--output <file>', 'the file to write', '.env')
    .option('--yes', 'replace an existing file without a question')
    .option('--json', 'print one JSON document')
    .addHelpText('after', EXAMPLES)
    .action(action(init))
}

const EXAMPLES = `
Examples:
  $ koa-django-sessions init ../site/manage.py
  $ koa-django-sessions init ../site/manage.py --python ../site/venv/bin/python --settings site.production --yes`

interface InitArguments {
  readonly python?: string
  readonly settings?: string
  readonly output: string
  readonly yes?: boolean
  readonly json?: boolean
}

/** Exit status 1: something that sessions need cannot be carried over, and nothing was written; or a check failed. */
async function init(
  context: CommandContext,
  managePy: string,
  { python, settings, output: file, yes = false, json = false }: InitArguments,
): Promise<ExitStatus> {
  const { errors } = context
  const path = resolve(file)
  // Only now, so that other commands do not load it.
  const { askProject } = await import('./django-project.ts')
  const project = await askProject(context, { managePy, python, settings })
  if (project === null) return 130
  if (project.refused.length > 0) return refuse(context, project, json)

  const { composeEnvFile, writeEnvFile } = await import('../operations/import-settings/env-file.ts')
  const composed = await composeEnvFile(path, { values: project.values, managePy: resolve(managePy) })
  const isNew = composed.before !== composed.text
  if (isNew && composed.before !== null && !yes) {
    const dropped = composed.dropped.length === 0 ? '' : ` It loses ${composed.dropped.join(', ')}.`
    const question = `${path} is replaced by the settings of the Django project, and kept as ${file}.bak.${dropped}`
    if (!(await confirm(context, question))) {
      errors.write('Nothing was written.\n')
      return 1
    }
  }
  const { backup } = isNew ? await writeEnvFile(composed) : { backup: null }
  const written = { path, names: [...project.values.keys()], kept: composed.kept, backup, isNew }
  if (!json) sayWhatWasWritten(context, { ...written, project })
  return check(context, { project, written, text: composed.text, json })
}

function refuse({ output, errors }: CommandContext, { refused, warnings }: AskedProject, json: boolean): 1 {
  if (json)
    writeJson(output, 'init/1', { file: null, settings: [], kept: [], refused, warnings, doctor: null })
  else {
    output.write(`Sessions cannot be shared with this project as it is set up:\n${listed(refused)}`)
    if (warnings.length > 0) output.write(`Also not carried over:\n${listed(warnings)}`)
    errors.write('Nothing was written.\n')
  }
  return 1
}

interface Written {
  readonly path: string
  readonly names: readonly SettingName[]
  /** What the file had before and a Django project does not decide. */
  readonly kept: readonly string[]
  readonly backup: string | null
  /** Whether its text changed. */
  readonly isNew: boolean
}

function sayWhatWasWritten(
  { output, env }: CommandContext,
  { path, names, kept, backup, isNew, project }: Written & { project: AskedProject },
): void {
  const { facts, warnings } = project
  output.write(
    `Django ${facts.django}, ${facts.module}: ${names.length} settings ${isNew ? `written to ${path}, readable for you only` : `are in ${path} already`}\n`,
  )
  output.write(`  ${names.join('\n  ')}\n`)
  if (kept.length > 0) output.write(`Kept as they were: ${kept.join(', ')}\n`)
  if (backup !== null) output.write(`The file before is ${backup}\n`)
  if (warnings.length > 0) output.write(`Not carried over:\n${listed(warnings)}`)
  const stronger = names.filter((name) => env[name] && env[name] !== project.values.get(name))
  if (stronger.length > 0)
    output.write(`These variables of the environment win over the file: ${stronger.join(', ')}\n`)
}

function nextStep(path: string): string {
  return basename(path) === '.env' ? 'npm start' : `load ${path} into the environment, then npm start`
}

function listed(notes: readonly Note[]): string {
  return notes.map(({ setting, reason }) => `  ${setting}: ${reason}\n`).join('')
}

/** Runs the doctor on what was written, as a service that starts in this environment will read it. */
async function check(
  { env, output, errors, interrupted }: CommandContext,
  {
    project: django,
    written,
    text,
    json,
  }: { project: AskedProject; written: Written; text: string; json: boolean },
): Promise<ExitStatus> {
  const { parseEnvFile } = await import('../service/settings/environment.ts')
  const { readSettings } = await import('../service/settings/settings.ts')
  const { openProject } = await import('../operations/open-project.ts')
  const { examine, verdictOf } = await import('../operations/doctor/examine.ts')
  const { findingText, findingsAsJson, outcomeOf, verdictText } = await import(
    '../operations/doctor/report.ts'
  )

  const project = await openProject(readSettings({ ...parseEnvFile(text, []), ...env }, { readsFile: false }))
  try {
    const findings = await examine({
      evidence: { project, django, roundTrip: null, signal: interrupted },
      tags: ['database', 'sessions', 'users', 'django'], // Neither side need be running yet.
      onFinding: (finding) => {
        const isSaid = ['Failed', 'Warning'].includes(outcomeOf(finding))
        if (!json && isSaid) output.write(`${findingText(finding, output)}\n`)
      },
    })
    if (interrupted.aborted) return 130
    const verdict = verdictOf(findings)
    if (json)
      writeJson(output, 'init/1', {
        file: written.path,
        settings: written.names,
        kept: written.kept,
        refused: [],
        warnings: django.warnings,
        doctor: { verdict, findings: findingsAsJson(findings) },
      })
    else {
      output.write(`${verdictText(findings)}\n`)
      if (verdict !== 'error') errors.write(`Next: ${nextStep(written.path)}\n`)
    }
    return verdict === 'error' ? 1 : 0
  } finally {
    await project.close()
  }
}
