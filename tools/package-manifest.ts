/** The package.json of the published package, computed from that of the project and from what the library imports. */
import type { ImportKind } from './package-imports.ts'

/** The package.json of the project. */
export interface ProjectManifest {
  readonly name: string
  readonly release: string
  readonly exports: Readonly<Record<string, string | Record<string, string>>>
  readonly bin: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** What the published package has from the project unchanged. Not `sideEffects`: a file with much else checks Node. */
const KEPT = ['description', 'keywords', 'license', 'type', 'engines', 'bin', 'exports'] as const

/** Knex loads its drivers by the name in `client`, so that no import of ours names them. */
const DRIVERS_OF_KNEX = ['better-sqlite3', 'mysql2', 'pg']

/**
 * What is loaded with the library is a dependency. What is loaded when needed, or named by types only, is an optional peer:
 * a site installs what it uses.
 * @param repository `https://github.com/owner/name`; null when it is not known.
 */
export function publishedManifest(
  project: ProjectManifest,
  packages: ReadonlyMap<string, ImportKind>,
  repository: string | null = null,
): Record<string, unknown> {
  const named = (kinds: readonly ImportKind[]) =>
    [...packages].filter(([, kind]) => kinds.includes(kind)).map(([name]) => name)
  const dependencies = named(['always'])
  const drivers = packages.has('knex') ? DRIVERS_OF_KNEX : []
  const peers = [...new Set([...named(['lazily', 'types']), ...drivers])].filter(
    (name) => !dependencies.includes(name),
  )
  const table = <T>(names: readonly string[], value: (name: string) => T) =>
    Object.fromEntries(names.toSorted().map((name) => [name, value(name)]))
  return {
    name: project.name,
    version: project.release,
    ...Object.fromEntries(KEPT.map((field) => [field, project[field]])),
    ...(repository !== null && { repository: { type: 'git', url: `git+${repository}.git` } }),
    ...(dependencies.length > 0 && {
      dependencies: table(dependencies, (name) => testedVersion(project, name)),
    }),
    peerDependencies: table(peers, (name) => `>=${testedVersion(project, name).split('.')[0]}`),
    peerDependenciesMeta: table(peers, () => ({ optional: true })),
  }
}

/** The version with which the tests run. @throws when package.json of the project names none. */
function testedVersion({ dependencies, devDependencies }: ProjectManifest, name: string): string {
  const version = dependencies[name] ?? devDependencies[name]
  if (version !== undefined) return version
  throw new Error(
    `the library imports ${name}, of which package.json names no version; add it to devDependencies`,
  )
}
