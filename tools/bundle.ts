/**
 * Bundles the service into few files for production: starting it takes a third less CPU than loading some 900 files.
 *
 *   node tools/bundle.ts dist/bundle     writes main.js there; it reads the project's templates, two folders above
 *   node tools/bundle.ts --small FOLDER  the same, minified, as it is published
 */
import { copyFileSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { ASK_DJANGO, SERVICE_BUNDLE } from './bundle-service.ts'

const { values, positionals } = parseArgs({ options: { small: { type: 'boolean' } }, allowPositionals: true })
const { small = false } = values
const [outdir = 'dist/bundle'] = positionals

rmSync(outdir, { recursive: true, force: true })
const { metafile } = await build({
  ...SERVICE_BUNDLE,
  outdir,
  minify: small,
  logLevel: 'warning',
})
copyFileSync(ASK_DJANGO, join(outdir, basename(ASK_DJANGO)))
writeFileSync(join(outdir, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)))

/** The licences of the bundled packages: a text that several packages have is written once, after their copyrights. */
function licences(inputs: readonly string[]): string {
  const folders = inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [])
  const byText = new Map<string, string[]>()
  for (const folder of [...new Set(folders)].toSorted()) {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const files = globSync('{LICEN[CS]E,licen[cs]e,COPYING}*', { cwd: folder }).toSorted()
    const lines = files.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n'))
    const copyrights = lines.map((line) => line.trim()).filter(isCopyright)
    const words = lines.filter((line) => !isCopyright(line.trim())).join('\n')
    // Wrapped differently, it is the same text.
    const key = words
      .trim()
      .split(/\n\s*\n/)
      .map((paragraph) => paragraph.trim().replace(/\s+/g, ' '))
    const text = key.join('\n\n') || `(the package contains no text of its licence, ${license})`
    const notice = [`${name} ${version} (${license})`, ...copyrights].join('\n  ')
    byText.set(text, [...(byText.get(text) ?? []), notice])
  }
  const parts = [...byText].map(([text, names]) => `${names.join('\n')}\n\n${text}\n`)
  return `main.js and the files beside it contain these packages.\n\n${parts.join(`\n${'-'.repeat(72)}\n\n`)}`
}

function isCopyright(line: string): boolean {
  return /^copyright\b.*(?:\d{4}|\(c\)|©)/i.test(line)
}
