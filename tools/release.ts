/**
 * `npm run release` prepares a release and publishes nothing: checks the sources, builds dist/package, and writes the notes
 * of the tag to dist/release-notes.md. The tag starts .github/workflows/release.yml, which runs this again and publishes.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { releaseNotes } from './release-notes.ts'

const project = fileURLToPath(new URL('..', import.meta.url))
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: project, stdio: ['ignore', 'inherit', 'inherit'] })

const { release }: { release: string } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
const tag = `v${release}`
// GitHub Actions sets both, when a tag was pushed.
const { GITHUB_REF_TYPE, GITHUB_REF_NAME } = process.env
if (GITHUB_REF_TYPE === 'tag' && GITHUB_REF_NAME !== tag)
  throw new Error(
    `the tag is ${GITHUB_REF_NAME}, but package.json says "release": "${release}"; tag the commit ${tag}`,
  )
const changed = execFileSync('git', ['status', '--porcelain'], { cwd: project, encoding: 'utf8' })
if (changed !== '') throw new Error(`a release is made of what is committed; commit or drop:\n${changed}`)
const notes = releaseNotes(readFileSync(join(project, 'CHANGELOG.md'), 'utf8'), release)

run('npm', 'run', 'check')
run('npm', 'run', 'package')
run('npx', '--no-install', 'publint', 'run', 'dist/package', '--strict')
writeFileSync(join(project, 'dist/release-notes.md'), notes)
console.log(`dist/package is ${tag}. Publish it by its tag:

  git tag -a ${tag} --cleanup=verbatim -F dist/release-notes.md
  git push origin ${tag}`)
