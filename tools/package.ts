/**
 * `npm run package` builds the project and writes dist/package, the package that is published:
 *
 * - the library: all that the entry points in `exports` import, and nothing else of src/, in few files (package-library.ts)
 * - the bundled service, as its command, with the templates
 * - a package.json of its own (package-manifest.ts), and the documentation
 *
 * The project itself is private and has no version, so that plain `npm pack` and `npm publish` fail.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exportedFiles, followImports, tolerateMissing } from './package-imports.ts'
import { bundleLibrary } from './package-library.ts'
import { type ProjectManifest, publishedManifest } from './package-manifest.ts'
import { publishedPage } from './package-pages.ts'

/** Files and folders that are published beside dist/. */
const PARTS = ['templates', 'docs', 'README.md', 'SECURITY.md', 'CHANGELOG.md', 'LICENSE']

/** Pages that only a checkout needs, and one whose words are in the declarations. */
const UNPUBLISHED = ['docs/architecture.md', 'docs/contributing', 'docs/api.md']

/** It needs little of the library, so that its import loads little. */
const SIGNING = 'dist/signing/signing-exports.js'

const project = fileURLToPath(new URL('..', import.meta.url))
const folder = join(project, 'dist/package')

execFileSync('npm', ['run', 'build'], { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] })

const manifest: ProjectManifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
const entryPoints = exportedFiles(manifest.exports, project)
const missing = [...entryPoints, ...Object.values(manifest.bin)].filter((path) => !existsSync(path))
if (missing.length > 0) throw new Error(`the build did not create ${missing.join(', ')}`)

const { files, packages } = followImports(entryPoints)
// GitHub Actions sets it. npm publishes with provenance only where the manifest names the repository that builds.
const { GITHUB_REPOSITORY } = process.env
const repository = GITHUB_REPOSITORY ? `https://github.com/${GITHUB_REPOSITORY}` : null
const published = publishedManifest(manifest, packages, { repository })

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
const isOptional = (name: string) => packages.has(name) && packages.get(name) !== 'always'
for (const file of files) {
  if (!file.endsWith('.d.ts')) continue
  const target = join(folder, relative(project, file))
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, tolerateMissing(readFileSync(file, 'utf8'), isOptional))
}
await bundleLibrary(
  entryPoints.filter((file) => file.endsWith('.js')),
  { alone: join(project, SIGNING), from: join(project, 'dist'), to: join(folder, 'dist') },
)
for (const part of PARTS)
  cpSync(join(project, part), join(folder, part), {
    recursive: true,
    filter: (path) => !UNPUBLISHED.some((one) => path === join(project, one)),
  })
const bundle = [join(project, 'tools/bundle.ts'), '--small', join(folder, 'dist/bundle')]
execFileSync(process.execPath, bundle, { cwd: project, stdio: 'inherit' })

const packed = new Set(globSync('**/*', { cwd: folder }))
const browse = repository && `${repository}/blob/v${manifest.release}/`
for (const path of packed) {
  if (!path.endsWith('.md')) continue
  const page = join(folder, path)
  writeFileSync(page, publishedPage(readFileSync(page, 'utf8'), { path, packed, browse }))
}
console.log(folder)
