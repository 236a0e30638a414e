/**
 * Each TypeScript block of README.md and docs/ compiles as it stands, as a file of its own, where the package is installed
 * from its tarball, with what the pages say to install beside it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import ts from 'typescript-5'
import { execute } from '../support/executables.ts'
import { packPackage } from '../support/packed.ts'
import { projectFolder } from '../support/places.ts'
import { type Block, blocksOf, manual } from './pages.ts'

const blocks = manual().flatMap(blocksOf)
const fragments = blocks.filter(({ language }) => /^(?:ts|typescript)\b/.test(language))

const folder = mkdtempSync(join(tmpdir(), 'fragments-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

/** As `tsc --init` sets it, skipLibCheck too: @types/koa itself has an error where Express is installed beside it. */
const compilerOptions = {
  module: 'nodenext',
  target: 'es2024',
  types: ['node'],
  strict: true,
  skipLibCheck: true,
  noEmit: true,
} as const

const { devDependencies, dependencies } = JSON.parse(
  readFileSync(join(projectFolder, 'package.json'), 'utf8'),
)
const versions: Readonly<Record<string, string>> = { ...dependencies, ...devDependencies }

let underSeven: ReadonlyMap<string, readonly string[]> = new Map()

test.before(
  'the package is installed with what the pages name, and TypeScript 7 has seen each fragment',
  async (t) => {
    t.timeout(300_000)
    const wanted = namedPackages().map((name) => [name, versions[name]] as const)
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({
        private: true,
        type: 'module',
        dependencies: { ...Object.fromEntries(wanted), 'koa-django-sessions': `file:${await packPackage()}` },
      }),
    )
    const quiet = ['--prefer-offline', '--no-audit', '--silent', '--ignore-scripts']
    await execute('npm', ['install', ...quiet], { cwd: folder })
    for (const fragment of fragments) writeFileSync(join(folder, fileOf(fragment)), fragment.text)
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: fragments.map(fileOf) }),
    )
    underSeven = await compileAll(join(projectFolder, 'node_modules/typescript/bin/tsc'))
  },
)

test('there are fragments, and their compilers are TypeScript 5.9 and 7', async (t) => {
  t.true(fragments.length > 0)
  t.regex(ts.version, /^5\.9\./)
  for (const tsc of ['node_modules/.bin/tsc', 'node_modules/typescript/bin/tsc']) {
    const { stdout } = await execute(process.execPath, [join(projectFolder, tsc), '--version'])
    t.regex(stdout, /^Version 7\./, `${tsc}; npm ci leaves it to TypeScript 7`)
  }
})

test('what the pages say to install are packages of which this project knows the version', (t) => {
  t.deepEqual(
    namedPackages().filter((name) => versions[name] === undefined),
    [],
    'make it a devDependency, so that the fragments are compiled with one version of it',
  )
})

for (const fragment of fragments) {
  test(`${fragment.place} compiles under TypeScript 5.9`, (t) => {
    t.timeout(120_000)
    t.deepEqual(compileAlone(fragment), [])
  })

  test(`${fragment.place} compiles under TypeScript 7`, (t) => {
    t.deepEqual(underSeven.get(fileOf(fragment)) ?? [], [])
  })
}

test('no fragment is in a language that is not compiled', (t) => {
  const languages = new Set(blocks.map(({ language }) => language.split(' ')[0]))
  for (const language of ['js', 'javascript', 'mjs', 'tsx', 'jsx']) t.false(languages.has(language), language)
})

/** `docs/library.md:12` is in `docs-library-12.ts`. */
function fileOf({ place }: Block): string {
  return `${place.replace(/\.md:/, '-').replaceAll('/', '-')}.ts`
}

/** The packages of each `npm i` and `npm install` on the pages, without our own. */
function namedPackages(): string[] {
  const commands = blocks
    .filter(({ language }) => /^(?:sh|console)\b/.test(language))
    .flatMap(({ text }) => [...text.matchAll(/\bnpm (?:i|install)((?: [^\s&|;#]+)+)/g)])
  const names = commands.flatMap(([, list = '']) => list.trim().split(' '))
  return [...new Set(names)].filter((name) => !name.startsWith('-') && name !== 'koa-django-sessions')
}

/** What TypeScript 7 says of all fragments in one run, by file; each is alone in `compileAlone`. */
async function compileAll(tsc: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const output = await execute(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? String(error),
  )
  const problems = new Map<string, string[]>()
  let file = ''
  for (const line of output.split('\n').filter((one) => one !== '')) {
    const [, name] = /^([^\s(]+)\(\d+,\d+\): /.exec(line) ?? []
    if (!line.startsWith(' ')) file = name ?? ''
    problems.set(file, [...(problems.get(file) ?? []), line])
  }
  const outside = [...problems].filter(([name]) => !fragments.some((fragment) => fileOf(fragment) === name))
  if (outside.length > 0) throw new Error(outside.flatMap(([, lines]) => lines).join('\n'))
  return problems
}

const { options } = ts.convertCompilerOptionsFromJson(compilerOptions, folder)
const host = ts.createCompilerHost(options)
const read = new Map<string, ts.SourceFile | undefined>()
const readSource = host.getSourceFile
// Declarations are read once: they are nearly all of the work.
host.getSourceFile = (name, ...rest) => {
  if (!read.has(name)) read.set(name, readSource(name, ...rest))
  return read.get(name)
}
host.getCurrentDirectory = () => folder

/** What TypeScript 5.9 says of this fragment, in a program without the others. */
function compileAlone(fragment: Block): string[] {
  const name = join(folder, fileOf(fragment))
  const program = ts.createProgram([name], options, host)
  const source = program.getSourceFile(name)
  return [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...program.getSyntacticDiagnostics(source),
    ...program.getSemanticDiagnostics(source),
  ].map(({ file, start = 0, messageText }) => {
    const line =
      file === undefined ? '' : `line ${file.getLineAndCharacterOfPosition(start).line + 1} of it: `
    return `${line}${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}
