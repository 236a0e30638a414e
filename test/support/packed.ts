import { existsSync, mkdirSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execute } from './executables.ts'
import { projectFolder } from './places.ts'

// AVA is the parent of each test file's process; `npm test` removes the run's temporary folder at its end.
const folder = join(tmpdir(), `packed-${process.ppid}`)
const result = join(folder, 'result.json')

/** The tarball of what `npm run package` writes, made once in a run, whichever test file asks first. */
export async function packPackage(): Promise<string> {
  if (isFirst()) {
    const done = await pack().then(
      (tarball) => ({ tarball }),
      (error: Error) => ({ error: String(error.stack) }),
    )
    writeFileSync(`${result}.new`, JSON.stringify(done))
    renameSync(`${result}.new`, result)
  } else {
    await resultIsThere()
  }
  const { tarball, error } = JSON.parse(readFileSync(result, 'utf8'))
  if (error !== undefined) throw new Error(error)
  return tarball
}

async function pack(): Promise<string> {
  const env = { ...process.env, NO_COLOR: '1' }
  const options = { cwd: projectFolder, env }
  const written = (await execute('npm', ['run', '--silent', 'package'], options)).stdout.trim()
  const args = ['pack', written, '--ignore-scripts', '--json', '--pack-destination', folder]
  const [{ filename }] = JSON.parse((await execute('npm', args, options)).stdout)
  return join(folder, filename)
}

function isFirst(): boolean {
  try {
    mkdirSync(folder)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

async function resultIsThere(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const watcher = watch(folder, () => existsSync(result) && resolve())
  if (existsSync(result)) resolve() // since before the watcher began
  await promise
  watcher.close()
}
