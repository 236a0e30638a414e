import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execute } from './executables.ts'
import type { Scope } from './file-scope.ts'
import { packPackage } from './packed.ts'
import { projectFolder } from './places.ts'

/** Projects that have installed the package, in one folder that is removed at the end of the test file. */
export interface Projects {
  readonly folder: string
  /** A project that has the package and these beside it. Installed once for each title. Returns its folder. */
  install(title: string, others: Readonly<Record<string, string>>): Promise<string>
}

/** @param scope the test file's, whose `teardown` runs at its end. */
export function createProjects(scope: Scope): Projects {
  const folder = mkdtempSync(join(tmpdir(), 'package-'))
  scope.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return {
    folder,
    async install(title, others) {
      const project = join(folder, title.replaceAll(/\W+/g, '-'))
      if (existsSync(project)) return project
      const dependencies = { 'koa-django-sessions': `file:${await packPackage()}`, ...others }
      mkdirSync(project)
      writeFileSync(
        join(project, 'package.json'),
        JSON.stringify({ private: true, type: 'module', dependencies }),
      )
      const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--silent', '--ignore-scripts']
      await run('npm', ['install', ...quiet], project)
      return project
    },
  }
}

/** Runs a program in a project. Returns what it writes to its standard output. */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string = projectFolder,
): Promise<string> {
  return (await execute(command, args, { cwd, env: { ...process.env, NO_COLOR: '1' } })).stdout
}

/** The parts of the published manifest that tests read. */
export interface Published {
  readonly exports: Readonly<Record<string, unknown>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
}

/** The manifest of the package that a project has installed. */
export function published(project: string): Published {
  return JSON.parse(readFileSync(join(project, 'node_modules/koa-django-sessions/package.json'), 'utf8'))
}

/** The entry points of the package that a project has installed, as a program imports them. */
export function entryPointsOf(project: string): string[] {
  return Object.keys(published(project).exports)
    .filter((path) => path !== './package.json')
    .map((path) => path.replace('.', 'koa-django-sessions'))
}

/** These packages, in the versions that this project tests. */
export function pinned(...names: readonly string[]): Record<string, string> {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(projectFolder, 'package.json'), 'utf8'),
  )
  const versions: Record<string, string> = { ...dependencies, ...devDependencies }
  return Object.fromEntries(names.map((name) => [name, versions[name] ?? unknownPackage(name)]))
}

function unknownPackage(name: string): never {
  throw new Error(`package.json names no version of ${name}`)
}
