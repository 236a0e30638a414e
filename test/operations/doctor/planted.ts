import { tmpdir } from 'node:os'
import type { Evidence, Tag } from '../../../src/operations/doctor/check.ts'
import { examine, type Finding } from '../../../src/operations/doctor/examine.ts'
import { openProject } from '../../../src/operations/open-project.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { djangoVersions } from '../../support/django.ts'

/** The Django versions on which each fault is planted. */
export const plantedVersions: readonly string[] = djangoVersions.filter((version) => version !== '3.2')

/** What the doctor finds with these settings. */
export async function findingsOf(
  env: Readonly<Record<string, string>>,
  {
    tags,
    roundTrip = null,
    signal = null,
  }: { tags: readonly Tag[]; roundTrip?: Evidence['roundTrip']; signal?: AbortSignal | null },
): Promise<Finding[]> {
  // The tests' machine may be busy for longer than a visitor would wait.
  const settings = readSettings({ DATABASE_TIMEOUT: '30', ...env }, { cwd: tmpdir() })
  const project = await openProject(settings)
  try {
    return await examine({ evidence: { project, django: null, roundTrip, signal }, tags })
  } finally {
    await project.close()
  }
}

/** The first finding that is a problem, as `http.E008 found → to do`; `all is well` if there is none. */
export function firstProblem(findings: readonly Finding[]): string {
  for (const { id, level, result } of findings)
    if (result.outcome === 'failed' && level !== 'info') return `${id} ${result.read} → ${result.hint}`
  return 'all is well'
}

/** Each check with its outcome. */
export function outcomesOf(findings: readonly Finding[]): string[] {
  return findings.map(({ id, result }) => `${id} ${result.outcome}`)
}
