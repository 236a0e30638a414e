import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execute } from '../test/support/executables.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))
const LOCK = `${folder}package-lock.json`
/** A copy of the lock file, written after a complete installation. */
const INSTALLED = `${folder}node_modules/.installed-lock.json`

/** Installs the compared packages once; they are not dependencies of this package. */
export async function installPeers(say: (text: string) => void): Promise<void> {
  const lock = readFileSync(LOCK, 'utf8')
  if (existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === lock) return
  say('installing the peers: npm ci in bench/')
  await execute('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder })
  writeFileSync(INSTALLED, lock)
}
