import type { DjangoAnswers } from '../operations/doctor/check.ts'
import type { ProjectFacts } from '../operations/import-settings/ask-django.ts'
import type { Note, TakenOver } from '../operations/import-settings/take-over.ts'
import { readSettings, type Settings, SettingsError } from '../service/settings/settings.ts'
import type { CommandContext } from './command.ts'

/** The arguments that name a Django project and the Python that runs it. */
export interface ProjectArguments {
  readonly managePy: string
  readonly python?: string | undefined
  readonly settings?: string | undefined
}

/** A Django project that was asked for its settings. */
export interface AskedProject extends DjangoAnswers {
  readonly facts: ProjectFacts
}

/** Asks a Django project, and reads its settings as this service would. Null after Ctrl-C. @throws {CannotAskDjango} */
export async function askProject(
  { env, errors, interrupted }: CommandContext,
  { managePy, python, settings: settingsModule }: ProjectArguments,
): Promise<AskedProject | null> {
  // Only now, so that other commands do not load it.
  const { askDjango } = await import('../operations/import-settings/ask-django.ts')
  const { takeOver } = await import('../operations/import-settings/take-over.ts')
  const facts = await askDjango({
    managePy,
    python,
    settingsModule,
    env,
    signal: interrupted,
    onPython: ({ file, because }) => errors.write(`Asking ${managePy} by ${file} (${because})\n`),
  }).catch((error: unknown) => {
    if (interrupted.aborted) return null
    throw error
  })
  if (facts === null) return null
  const { values, refused, warnings } = takeOver(facts)
  const { settings, problems } = settingsOf(values)
  // A setting that was refused is missing, which is then a problem too.
  const named = new Set(refused.map(({ setting }) => setting.replace(/\W.*/s, '')))
  const further = problems
    .map(noteOf)
    .filter(({ setting }) => refused.length === 0 || !isNamed(setting, named))
  return {
    facts,
    values,
    settings: refused.length > 0 ? null : settings,
    refused: [...refused, ...further],
    warnings: [...warnings, ...(settings?.warnings ?? []).map(noteOf)],
  }
}

/** These settings and no others: neither the environment nor a file changes them. */
function settingsOf(values: TakenOver['values']): { settings: Settings | null; problems: readonly string[] } {
  try {
    return { settings: readSettings(Object.fromEntries(values), { readsFile: false }), problems: [] }
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    return { settings: null, problems: error.problems }
  }
}

/** `CACHES['default']: …` and `TIME_ZONE "x" is …` begin with the name of the setting. */
function noteOf(problem: string): Note {
  const [, setting = '', reason = problem] = /^([A-Z_]+(?:\[[^\]]*\])?):? (.*)$/s.exec(problem) ?? []
  return { setting, reason }
}

/** Whether a problem with this setting follows from one that was refused. */
function isNamed(setting: string, refused: ReadonlySet<string>): boolean {
  const name = setting.replace(/\[.*/, '')
  const inDjango = /^(?:SESSION_)?DATABASE_URL$/.test(name) ? 'DATABASES' : name.replace(/^DJANGO_/, '')
  return refused.has(inDjango) || refused.has(name)
}
