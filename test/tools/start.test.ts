/** `npm start` in a small project of its own: when it runs the bundle that it makes, and when the sources. */
import { spawn } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { execute } from '../support/executables.ts'
import { projectFolder } from '../support/places.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

const SOURCES = {
  'src/cli/main.ts': `
    import { existsSync, writeFileSync } from 'node:fs'
    import { relative } from 'node:path'
    import { setTimeout } from 'node:timers/promises'
    import { fileURLToPath } from 'node:url'
    import { word } from './word.ts'
    import { one } from 'a-package'
    const { later } = await import('./later.ts')
    console.log(relative('.', fileURLToPath(import.meta.url)), word, one, later)
    if (process.env.WAIT) {
      writeFileSync('running', '')
      while (!existsSync('changed')) await setTimeout(10)
      console.log((await import('./last.ts')).last)
    }
  `,
  'src/cli/word.ts': "export const word: string = 'first'\n",
  'src/cli/later.ts': "export const later: string = 'later'\n",
  'src/cli/last.ts': "export const last: string = 'last'\n",
  'src/operations/import-settings/ask_django.py': 'print(1)\n',
  'package.json': '{ "type": "module" }',
  'tsconfig.json': '{}',
  'node_modules/a-package/package.json': '{ "main": "index.js" }',
  'node_modules/a-package/index.js': 'exports.one = 1\n',
  'node_modules/.package-lock.json': '{}',
}

const TOOLS = ['start.mjs', 'start-record.ts', 'start-bundle.ts', 'bundle-service.ts', 'compile-templates.ts']

/** What src/cli/main.ts says that it is. */
const BUNDLED = '.cache/start/main.js'
const FROM_SOURCES = 'src/cli/main.ts'

function createProject(t: ExecutionContext) {
  const folder = temporaryFolder(t)
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  for (const [path, text] of Object.entries(SOURCES)) write(path, text)
  mkdirSync(join(folder, 'tools'))
  for (const file of TOOLS) cpSync(join(projectFolder, 'tools', file), join(folder, 'tools', file))
  symlinkSync(join(projectFolder, 'node_modules/esbuild'), join(folder, 'node_modules/esbuild'))
  const start = async (env: NodeJS.ProcessEnv = {}) => {
    const options = { cwd: folder, env: { ...process.env, ...env } }
    const { stdout, stderr } = await execute(process.execPath, ['tools/start.mjs'], options)
    t.is(stderr, '')
    return stdout.trim()
  }
  const bundle = join(folder, '.cache/start')
  return { folder, write, start, bundle }
}

test('the first start makes a bundle, and the next ones run it', async (t) => {
  const { start, bundle } = createProject(t)
  t.is(await start(), `${BUNDLED} first 1 later`)
  const made = readdirSync(bundle).map((name) => [name, statSync(join(bundle, name)).mtimeMs])
  t.true(made.some(([name]) => name === 'ask_django.py'))
  t.is(await start(), `${BUNDLED} first 1 later`)
  t.deepEqual(
    readdirSync(bundle).map((name) => [name, statSync(join(bundle, name)).mtimeMs]),
    made,
  )
})

for (const [what, path, before, after, said] of [
  ['a source', 'src/cli/word.ts', 'first', 'other', 'other 1 later'],
  ['a source that is loaded late', 'src/cli/later.ts', "'later'", "'LATER'", 'first 1 LATER'],
  ['a file of a package', 'node_modules/a-package/index.js', '1', '2', 'first 2 later'],
] as const)
  test(`after a change of ${what} that keeps its size and its time, the bundle is made anew`, async (t) => {
    const { folder, start, write } = createProject(t)
    await start()
    const { atime, mtime } = statSync(join(folder, path))
    write(path, SOURCES[path].replace(before, after))
    utimesSync(join(folder, path), atime, mtime)
    t.is(await start(), `${BUNDLED} ${said}`)
  })

test('after npm installed another package, the bundle is made anew', async (t) => {
  const { start, write } = createProject(t)
  await start()
  write('src/cli/node_modules/a-package/package.json', '{ "main": "index.js" }')
  write('src/cli/node_modules/a-package/index.js', 'exports.one = 3\n')
  write('node_modules/.package-lock.json', '{"packages":{}}')
  t.is(await start(), `${BUNDLED} first 3 later`)
})

test('a copy of the project makes its own bundle', async (t) => {
  const { folder, start, write } = createProject(t)
  await start()
  const copy = temporaryFolder(t)
  cpSync(folder, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
  write('src/cli/word.ts', "export const word: string = 'other'\n")
  const { stdout } = await execute(process.execPath, ['tools/start.mjs'], { cwd: copy })
  t.is(stdout.trim(), `${BUNDLED} first 1 later`)
})

for (const [what, spoil] of [
  ['esbuild is not installed', (folder: string) => rmSync(join(folder, 'node_modules/esbuild'))],
  ['the folder cannot be made', (folder: string) => writeFileSync(join(folder, '.cache'), '')],
  [
    'the folder is a file',
    (folder: string) => {
      mkdirSync(join(folder, '.cache'))
      writeFileSync(join(folder, '.cache/start'), '')
    },
  ],
  ['a file that decides the bundle is missing', (folder: string) => rmSync(join(folder, 'tsconfig.json'))],
] as const)
  test(`where ${what}, the sources are run`, async (t) => {
    const { folder, start } = createProject(t)
    spoil(folder)
    t.is(await start(), `${FROM_SOURCES} first 1 later`)
  })

test('a record that cannot be read makes a new bundle', async (t) => {
  const { start, bundle } = createProject(t)
  await start()
  const read = () => readFileSync(join(bundle, 'record.json'), 'utf8')
  const { inputs } = JSON.parse(read())
  for (const text of ['', '{', 'null', '[]', '{"inputs":1}', read().slice(0, -5)]) {
    writeFileSync(join(bundle, 'record.json'), text)
    t.is(await start(), `${BUNDLED} first 1 later`, text)
    t.deepEqual(JSON.parse(read()).inputs, inputs)
  }
})

test('a source with an error is shown by Node, and mended, it runs', async (t) => {
  const { start, write } = createProject(t)
  await start()
  write('src/cli/word.ts', 'export const word = = 1\n')
  await t.throwsAsync(start(), { message: /SyntaxError|Unexpected/ })
  write('src/cli/word.ts', "export const word: string = 'mended'\n")
  t.is(await start(), `${BUNDLED} mended 1 later`)
})

test('a bundle that has lost or changed a file is made anew', async (t) => {
  const { start, bundle } = createProject(t)
  await start()
  for (const name of readdirSync(bundle))
    for (const spoil of [rmSync, (path: string) => appendFileSync(path, '\n<<<')]) {
      spoil(join(bundle, name))
      t.is(await start(), `${BUNDLED} first 1 later`, name)
    }
})

test('a service that was started before a change still finds the files of its bundle', async (t) => {
  const { folder, start, write } = createProject(t)
  const running = start({ WAIT: '1' })
  await until('it runs', () => existsSync(join(folder, 'running')))
  write('src/cli/last.ts', "export const last: string = 'other'\n")
  t.is(await start(), `${BUNDLED} first 1 later`)
  write('changed', '')
  t.is(await running, `${BUNDLED} first 1 later\nlast`)
})

test('files of old bundles are removed after an hour', async (t) => {
  const { start, write, bundle } = createProject(t)
  const names = () => readdirSync(bundle).filter((name) => name.startsWith('later'))
  const age = () => {
    for (const name of names()) utimesSync(join(bundle, name), new Date(0), new Date(0))
  }
  await start()
  const [oldest] = names()
  for (const word of ['second', 'third', 'fourth']) {
    age()
    write('src/cli/later.ts', `export const later: string = '${word}'\n`)
    t.is(await start(), `${BUNDLED} first 1 ${word}`)
  }
  t.is(names().length, 2)
  t.false(names().includes(oldest ?? ''))
})

test('no bundle is kept of a source that changes while it is made', async (t) => {
  const { folder, start, bundle } = createProject(t)
  const touching = spawn(
    'sh',
    ['-c', 'for n in $(seq 20000); do : >> src/cli/last.ts; touch src/cli/last.ts; done'],
    { cwd: folder },
  )
  t.teardown(() => touching.kill())
  t.is(await start(), `${FROM_SOURCES} first 1 later`)
  t.is(touching.exitCode, null)
  touching.kill()
  t.deepEqual(readdirSync(bundle), [])
})

test('starts at the same time all run', async (t) => {
  const { start, write } = createProject(t)
  for (const word of ['first', 'second', 'third']) {
    write('src/cli/word.ts', `export const word: string = '${word}'\n`)
    const said = await Promise.all([start(), start(), start(), start()])
    for (const line of said) t.regex(line, new RegExp(`^(?:${BUNDLED}|${FROM_SOURCES}) ${word} 1 later$`))
    t.is(await start(), `${BUNDLED} ${word} 1 later`)
  }
})
