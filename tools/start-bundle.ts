import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { build, stop } from 'esbuild'
import { ASK_DJANGO, SERVICE_BUNDLE } from './bundle-service.ts'
import {
  currentBundle,
  type FileState,
  FOLDER,
  project,
  RECORD,
  readRecord,
  stateOf,
} from './start-record.ts'

/** What else decides the bundle: the packages that npm installed, and how the sources are bundled. */
const RULES = [
  'package.json',
  'tsconfig.json',
  'node_modules/.package-lock.json',
  'tools/bundle-service.ts',
  'tools/compile-templates.ts',
]

const HOUR = 3_600_000

/**
 * Bundles the sources for this start and the next ones. Returns the bundle's URL; null if a source changed meanwhile.
 * @throws Error if the folder is not writable, and esbuild's error for a source that has one
 */
export async function makeBundle(): Promise<string | null> {
  const folder = join(project, FOLDER)
  mkdirSync(folder, { recursive: true })
  accessSync(folder, constants.W_OK)
  const started = Date.now()
  const { metafile, outputFiles } = await bundle(folder)
  const inputs = statesOf([...Object.keys(metafile.inputs), ASK_DJANGO, ...RULES])
  if (inputs.some(([, , , changed]) => changed >= started)) return null

  const script = { name: basename(ASK_DJANGO), contents: readFileSync(join(project, ASK_DJANGO)) }
  const outputs = [script, ...outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }))]
  const paths = outputs.map(({ name }) => `${FOLDER}/${name}`)
  // The other files have their contents in their names, so main.js comes after all that it loads.
  for (const { name, contents } of outputs.toSorted(byIsMain)) replaceFile(`${FOLDER}/${name}`, contents)
  const previous = readRecord()
  replaceFile(RECORD, JSON.stringify({ inputs, files: statesOf(paths) }))
  removeOld(new Set([...paths, RECORD, ...(previous?.files ?? []).map(([path]) => path)]))
  return currentBundle()
}

async function bundle(outdir: string) {
  try {
    return await build({
      ...SERVICE_BUNDLE,
      absWorkingDir: project,
      outdir,
      write: false,
      logLevel: 'silent',
    })
  } finally {
    await stop() // the process of esbuild
  }
}

function byIsMain(a: { name: string }, b: { name: string }): number {
  return Number(a.name === 'main.js') - Number(b.name === 'main.js')
}

/** @throws Error if a file is missing */
function statesOf(paths: readonly string[]): FileState[] {
  return paths.map((path) => {
    const state = stateOf(path)
    if (state === null) throw new Error(`${path} is missing`)
    return state
  })
}

/** Other processes find the old file or the new one, and never a part of it. */
function replaceFile(path: string, contents: string | Uint8Array): void {
  const temporary = join(project, `${path}.${process.pid}`)
  writeFileSync(temporary, contents)
  renameSync(temporary, join(project, path))
}

/** A running service may still load a file of the bundle before this one, and another start just makes its own. */
function removeOld(kept: ReadonlySet<string>): void {
  for (const name of readdirSync(join(project, FOLDER))) {
    const path = join(project, FOLDER, name)
    if (!kept.has(`${FOLDER}/${name}`) && statSync(path).mtimeMs < Date.now() - HOUR) rmSync(path)
  }
}
