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

export interface PublishingOptions {
  /** `https://github.com/owner/name`. Default: null, not known. */
  readonly repository?: string | null
  /** Of each optional peer. Default: `LOWEST_VERSIONS`. */
  readonly lowest?: Readonly<Record<string, string>>
}

/** What the published package has from the project unchanged. Not `sideEffects`: a file with much else checks Node. */
const KEPT = ['description', 'keywords', 'license', 'type', 'engines', 'bin', 'exports'] as const

/** Knex loads its drivers by the name in `client`, so that no import of ours names them. */
const DRIVERS_OF_KNEX = ['better-sqlite3', 'mysql2', 'pg']

/**
 * The lowest version of each optional peer with which the library works. npm refuses to install the package beside a lower
 * one, also where the site does not use it with us. So a range begins as low as possible, and has no end.
 *
 * test/package.test.ts uses the installed package with these versions. The tests of the adapters, engines, caches, pools
 * and passwords have passed with them, but for two lacks: pg before 8.18 does not say that a client was released inside a
 * transaction, and ioredis 5 reports a wrong password as NOAUTH. better-sqlite3 before 13 must be compiled or downloaded,
 * which that test does not do; 11.0.0 was compiled for Node 22.18, the first Node that it is made for.
 */
export const LOWEST_VERSIONS: Readonly<Record<string, string>> = {
  '@node-rs/argon2': '1.1.0', // the first
  '@node-rs/bcrypt': '1.6.0', // the first whose functions can be imported
  'better-sqlite3': '11.0.0',
  fastify: '3.0.0',
  ioredis: '5.0.0',
  knex: '1.0.1', // the first major with better-sqlite3
  koa: '2.11.0', // 2.7.0 answers 500 to whatever is thrown
  mysql2: '3.0.0', // 2.3.0 does not go on after its connections are killed
  pg: '8.0.3', // the first that works on Node 14 or newer
}

/**
 * What is loaded with the library is a dependency. What is loaded when needed, or named by types only, is an optional peer:
 * a site installs what it uses.
 */
export function publishedManifest(
  project: ProjectManifest,
  packages: ReadonlyMap<string, ImportKind>,
  { repository = null, lowest = LOWEST_VERSIONS }: PublishingOptions = {},
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
    peerDependencies: table(peers, (name) => `>=${lowest[name] ?? neverTried(name)}`),
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

function neverTried(name: string): never {
  throw new Error(
    `the library names ${name}, of which LOWEST_VERSIONS has no version; add the lowest one with which it works`,
  )
}
