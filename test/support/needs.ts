import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectFolder } from './places.ts'

/** What takes time to get or to start. A test file needs it when it imports the file of test/support named here. */
const NEEDS = {
  'databases.ts': 'databases',
  'servers.ts': 'databases',
  'django-environments.ts': 'django',
  'django-tests.ts': 'django-tests',
  'nodes.ts': 'nodes',
  'browser.ts': 'browser',
  'service.ts': 'service',
  'redis.ts': 'redis',
  'memcached.ts': 'memcached',
  'pgbouncer.ts': 'pgbouncer',
  'galera.ts': 'galera',
  'certificates.ts': 'openssl',
} as const

export type Need = (typeof NEEDS)[keyof typeof NEEDS]

const supportFolder = dirname(fileURLToPath(import.meta.url))

/** What the test files among AVA's arguments need, through all that they import; everything when none is named. */
export function needsOf(args: readonly string[]): ReadonlySet<Need> {
  const files = args.filter((arg) => !arg.startsWith('-')).flatMap(testFiles)
  if (files.length === 0) return new Set(Object.values(NEEDS))
  const needs = new Set<Need>()
  for (const file of withImports(files)) {
    const name = basename(file) as keyof typeof NEEDS
    if (dirname(file) === supportFolder && name in NEEDS) needs.add(NEEDS[name])
  }
  return needs
}

/** The test files that AVA takes an argument for: a file, with or without line numbers, a folder or a pattern. */
function testFiles(arg: string): string[] {
  const path = resolve(projectFolder, arg.replace(/:[\d,-]+$/, ''))
  if (!existsSync(path)) {
    const found = globSync(arg, { cwd: projectFolder }).map((file) => join(projectFolder, file))
    return found.filter((one) => statSync(one).isFile())
  }
  if (statSync(path).isFile()) return [path]
  return globSync('**/*.test.ts', { cwd: path }).map((file) => join(path, file))
}

/** The files and what they import, directly or not. The sources need nothing that has to be prepared. */
function withImports(files: readonly string[]): Set<string> {
  const found = new Set(files)
  for (const file of found) {
    for (const imported of importsOf(file)) {
      if (!imported.startsWith(join(projectFolder, 'src'))) found.add(imported)
    }
  }
  return found
}

// Types vanish. A URL is a script or a worker that the test starts.
const IMPORT =
  /^import (?!type ).*?'(\.[^']+)'|^\} from '(\.[^']+)'|import\('(\.[^']+)'\)|new URL\('([^']+\.ts)'/gm

function importsOf(file: string): string[] {
  return readFileSync(file, 'utf8')
    .matchAll(IMPORT)
    .map(([, ...paths]) => resolve(dirname(file), paths.find((path) => path !== undefined) ?? ''))
    .filter((path) => existsSync(path) && statSync(path).isFile())
    .toArray()
}
