import { tmpdir } from 'node:os'
import type { Tag } from '../../../src/operations/doctor/check.ts'
import { examine, type Finding } from '../../../src/operations/doctor/examine.ts'
import { openProject } from '../../../src/operations/open-project.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'

export const secretKey = 'a key of a site that the doctor examines: 비밀#$%'

/** The settings of a site with this database. */
export function siteEnvironment(
  databaseUrl: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: '5.2',
    USE_TZ: 'True',
    DATABASE_TIMEOUT: '30', // The tests' machine may be busy.
    ...more,
  }
}

/** What the doctor finds with these settings. Default: the groups `database` and `users`. */
export async function examined(
  env: Readonly<Record<string, string>>,
  { tags = ['database', 'users'], now }: { tags?: readonly Tag[]; now?: () => Date } = {},
): Promise<Finding[]> {
  const project = await openProject(readSettings(env, { cwd: tmpdir() }), now === undefined ? {} : { now })
  try {
    return await examine({ evidence: { project, django: null, roundTrip: null, signal: null }, tags })
  } finally {
    await project.close()
  }
}

/** A problem as one text: id, what was read, what to do. */
export function problemsIn(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ id, level, result }) =>
    result.outcome === 'failed' && level !== 'info' ? [`${id}: ${result.read}; ${result.hint}`] : [],
  )
}

/** What the first problem says; '' without one. */
export function firstProblem(findings: readonly Finding[]): string {
  return problemsIn(findings)[0] ?? ''
}
