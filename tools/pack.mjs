// `npm run pack -- [FOLDER]`: builds, and makes the tarball that is published. Plain `npm pack` cannot do this: it builds
// only where scripts may run before it (`ignore-scripts`), and where they may not it would leave out `dist` without a word.
// package.json therefore has no version, without which npm packs nothing.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))
const npm = (args, cwd) =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

/** What package.json says to those who install the package. */
function packedManifest() {
  const { release, ...manifest } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  for (const name of ['//', 'private', 'scripts', 'devDependencies', 'ava']) delete manifest[name]
  const { name, ...rest } = manifest
  return { name, version: release, ...rest }
}

/** Each file that package.json names as a way in. */
function waysIn({ bin, exports }) {
  return [
    ...Object.values(bin),
    ...Object.values(exports).flatMap((one) => (typeof one === 'string' ? one : Object.values(one))),
  ]
}

npm(['run', 'build'], project)
const destination = resolve(process.argv[2] ?? '.')
const folder = mkdtempSync(join(tmpdir(), 'pack-'))
try {
  const manifest = packedManifest()
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const part of ['dist', 'templates', 'CHANGELOG.md', 'LICENSE', 'README.md']) {
    // The packages of others that are in the bundle go with their licences.
    const filter = (path) => path !== join(project, 'dist/bundle')
    cpSync(join(project, part), join(folder, part), { recursive: true, filter })
  }
  const missing = waysIn(manifest).filter((path) => !existsSync(join(folder, path)))
  if (missing.length > 0) throw new Error(`the build has not made ${missing.join(', ')}`)
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', destination]
  const [{ filename }] = JSON.parse(npm(args, folder))
  console.log(join(destination, filename))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
