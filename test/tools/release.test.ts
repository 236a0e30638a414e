/** `npm run release` in a small project of its own: what it refuses, what it runs, and the tag that it prepares. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { execute } from '../support/executables.ts'
import { projectFolder } from '../support/places.ts'
import { temporaryFolder } from '../support/service.ts'

const CHANGELOG = `# Changelog

## Unreleased

## 1.1.0

### Added
- One thing.
`

/** The scripts that a release runs. `package` writes a package which publint can check. */
const SCRIPTS = {
  check: 'node script.js check',
  package: 'node script.js package',
}

const SCRIPT = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('dist/package', { recursive: true })
appendFileSync('dist/scripts.txt', process.argv[2] + '\\n')
if (process.argv[2] === 'package') {
  const manifest = { name: 'a-package', version: '1.1.0', type: 'module', license: 'MIT', exports: './index.js', files: ['index.js'] }
  writeFileSync('dist/package/package.json', JSON.stringify(manifest))
  if (process.env.WITHOUT_ENTRY === undefined) writeFileSync('dist/package/index.js', 'export const one = 1\\n')
}
`

/** A committed project of the release 1.1.0. */
async function createProject(t: ExecutionContext, { release = '1.1.0', changelog = CHANGELOG } = {}) {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'tools'))
  for (const file of ['tools/release.ts', 'tools/release-notes.ts'])
    cpSync(join(projectFolder, file), join(folder, file))
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
  const manifest = { private: true, type: 'module', release, scripts: SCRIPTS }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(folder, 'CHANGELOG.md'), changelog)
  writeFileSync(join(folder, 'script.js'), SCRIPT)
  writeFileSync(join(folder, '.gitignore'), 'dist\nnode_modules\n')
  const git = async (...args: string[]) =>
    (await execute('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.org', ...args], { cwd: folder }))
      .stdout
  await git('init', '--quiet')
  await git('add', '.')
  await git('commit', '--quiet', '--message', 'release: 1.1.0')
  const prepare = async (env: NodeJS.ProcessEnv = {}) => {
    const { GITHUB_REF_TYPE: _type, GITHUB_REF_NAME: _name, ...own } = process.env
    const options = { cwd: folder, env: { ...own, NO_COLOR: '1', ...env } }
    return (await execute(process.execPath, ['tools/release.ts'], options)).stdout
  }
  return { folder, git, prepare }
}

test('a release is checked, packed and checked by publint, and its tag has the notes', async (t) => {
  const { folder, git, prepare } = await createProject(t)
  const said = await prepare({ GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.1.0' })
  t.is(readFileSync(join(folder, 'dist/scripts.txt'), 'utf8'), 'check\npackage\n')
  t.regex(said, /All good!/)
  // The commands that it prints.
  const [tag = '', push] = said.split('\n').flatMap((line) => /^ {2}git (.+)$/.exec(line)?.[1] ?? [])
  t.is(push, 'push origin v1.1.0')
  await git(...tag.split(' '))
  t.is(
    await git('tag', '--list', '--format=%(refname:short)\n%(contents)'),
    'v1.1.0\n### Added\n- One thing.\n\n',
  )
})

test('the workflow publishes what the release has built', async (t) => {
  const { folder, prepare } = await createProject(t)
  await prepare()
  const workflow = readFileSync(join(projectFolder, '.github/workflows/release.yml'), 'utf8')
  const [, words = ''] = /npm@11 (publish .+)/.exec(workflow) ?? []
  // Provenance can only be made there.
  const args = words.split(' ').filter((word) => word !== '--provenance')
  const { stdout } = await execute('npm', [...args, '--dry-run', '--offline'], { cwd: folder })
  t.is(stdout.trim(), '+ a-package@1.1.0')
})

test('a release is refused, and nothing is built, when something is not committed', async (t) => {
  const { folder, prepare } = await createProject(t)
  writeFileSync(join(folder, 'forgotten.ts'), '')
  await refuses(t, prepare(), /a release is made of what is committed; commit or drop:\n\?\? forgotten\.ts/)
  t.throws(() => readFileSync(join(folder, 'dist/scripts.txt')), { code: 'ENOENT' })
})

test('a release is refused when its tag is not the version of package.json', async (t) => {
  const { prepare } = await createProject(t)
  const started = prepare({ GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.2.0' })
  await refuses(
    t,
    started,
    /the tag is v1\.2\.0, but package\.json says "release": "1\.1\.0"; tag the commit v1\.1\.0/,
  )
  // A branch may have any name.
  await t.notThrowsAsync(prepare({ GITHUB_REF_TYPE: 'branch', GITHUB_REF_NAME: 'v1.2.0' }))
})

test('a release is refused without its section in the changelog', async (t) => {
  const { prepare } = await createProject(t, { release: '1.2.0' })
  await refuses(
    t,
    prepare(),
    /CHANGELOG\.md has no section "## 1\.2\.0"; rename "## Unreleased" to "## 1\.2\.0"/,
  )
})

test('a release is refused when publint finds a problem in the package', async (t) => {
  const { folder, prepare } = await createProject(t)
  await t.throwsAsync(prepare({ WITHOUT_ENTRY: '1' }))
  t.throws(() => readFileSync(join(folder, 'dist/release-notes.md')), { code: 'ENOENT' })
})

async function refuses(t: ExecutionContext, started: Promise<unknown>, words: RegExp): Promise<void> {
  const error = await t.throwsAsync(started)
  t.regex(String((error as unknown as { stderr: string }).stderr), words)
}
