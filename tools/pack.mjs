// `npm run pack -- [FOLDER]` builds the package and packs the tarball that is published. Plain `npm pack` cannot do this:
// with `ignore-scripts` it runs no build before packing, and would silently leave out `dist`. So package.json has no
// version, and without a version npm refuses to pack.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))
const npm = (args, cwd) =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

/** The package.json of the published package. */
function packedManifest() {
  const { release, ...manifest } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  for (const name of ['//', 'private', 'scripts', 'devDependencies', 'ava']) delete manifest[name]
  const { name, ...rest } = manifest
  return { name, version: release, ...rest }
}

/** The entry points that package.json names. */
function entryPoints({ bin, exports }) {
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
    // The bundle contains other packages, whose licences would have to be included.
    const filter = (path) => path !== join(project, 'dist/bundle')
    cpSync(join(project, part), join(folder, part), { recursive: true, filter })
  }
  const missing = entryPoints(manifest).filter((path) => !existsSync(join(folder, path)))
  if (missing.length > 0) throw new Error(`the build did not create ${missing.join(', ')}; run npm run build`)
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', destination]
  const [{ filename }] = JSON.parse(npm(args, folder))
  console.log(join(destination, filename))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
