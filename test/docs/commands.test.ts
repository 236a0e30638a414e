/**
 * The commands of README.md and docs/. A block `sh` runs as it stands, from a fresh checkout: it ends by itself, or starts
 * the service. A block `console` is a command with placeholders: its scripts, commands, options and settings exist.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { settingDefinitions } from '../../src/service/settings/definitions.ts'
import { createVisitor } from '../interop/visitor.ts'
import { generateProject } from '../operations/import-settings/generated-project.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'
import { dyingWithUs, execute } from '../support/executables.ts'
import { fileScope, type Scope } from '../support/file-scope.ts'
import { projectFolder } from '../support/places.ts'
import { freePorts, type LogLine, runCommand, temporaryFolder } from '../support/service.ts'
import { type Block, blocksOf, manual } from './pages.ts'
import { shellCommands } from './shell.ts'

const file = fileScope(test)
const pages = manual()
const blocks = pages.flatMap(blocksOf)
const runnable = blocks.filter(({ language }) => language === 'sh')
const commands = blocks
  .filter(({ language }) => language === 'sh' || language === 'console')
  .flatMap(({ place, text }) => shellCommands(text).map((command) => ({ place, ...command })))

const { scripts } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))

/** Milliseconds that a block may take. */
const TIME_LIMIT = 60_000

test('of a block the commands are read, with the variables that they set', (t) => {
  const block =
    "$ export A='x # y' B=1 # note\nC=2 npx one do -v \\\n  < in.txt | two && npm start; three\n\n# four\n"
  t.deepEqual(shellCommands(block), [
    { variables: ['A', 'B'], words: [] },
    { variables: ['C'], words: ['npx', 'one', 'do', '-v', '<', 'in.txt'] },
    { variables: [], words: ['two'] },
    { variables: [], words: ['npm', 'start'] },
    { variables: [], words: ['three'] },
  ])
})

for (const block of runnable) {
  test.serial(`${block.place} runs as it stands`, async (t) => {
    t.timeout(2 * TIME_LIMIT)
    const cwd = await checkout(t)
    if (startsService(block)) await runService(t, block, cwd)
    else await runToItsEnd(t, block, cwd)
  })
}

test.serial(
  'the commands of README lead from a clone, beside a Django project, to one count on both sides',
  async (t) => {
    t.timeout(2 * TIME_LIMIT)
    const block = blocks.find(
      ({ place, text }) => place.startsWith('README.md') && text.includes('cli -- init'),
    )
    const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const name = JSON.stringify(url.replace('sqlite:///', ''))
    const project = generateProject(t, {
      version: djangoVersions.at(-1) ?? '',
      databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ${name}}}`,
    })
    symlinkSync(dirname(dirname(project.python)), join(project.folder, '.venv'))
    const parent = temporaryFolder(t)
    symlinkSync(project.folder, join(parent, 'site'))
    const cwd = await checkout(t, join(parent, 'clone'))
    const django = await project.serve()

    if (block === undefined) throw new Error('README.md has no block with init')
    const { next, stop } = startBlock(t, block, cwd)
    const service = new URL(String((await next('service.listening')).url)).origin
    await next('service.ready')
    const visitor = createVisitor()
    t.deepEqual(
      [await visitor.visit(django), await visitor.visit(service), await visitor.visit(django)],
      [1, 2, 3],
    )
    await stop()
  },
)

test('every script that the pages name is in package.json', (t) => {
  for (const { path, text } of pages) {
    for (const [command, name = ''] of text.matchAll(/\bnpm run(?: --?\S+)* ([\w:-]+)/g))
      t.true(name in scripts, `${path}: ${command}`)
  }
})

test('every command and option that the blocks give to koa-django-sessions is in its help', async (t) => {
  const { stdout: help } = await runCommand(file, ['--help'])
  t.regex(help, /^ +serve\b/m)
  for (const { place, words } of commands) {
    const [name, ...args] = cliArguments(words) ?? []
    if (name === undefined) continue
    if (name.startsWith('-')) {
      t.regex(help, new RegExp(`^ .*(?<!\\S)${name}\\b`, 'm'), place)
      continue
    }
    t.regex(help, new RegExp(`^ +${name}\\b`, 'm'), `${place}: there is no command ${name}`)
    const { stdout } = await runCommand(file, [name, '--help'])
    for (const [option] of args.map((word) => word.split('=')).filter(([word]) => word?.startsWith('-')))
      t.regex(
        stdout,
        new RegExp(`^ .*(?<!\\S)${option}(?![\\w-])`, 'm'),
        `${place}: ${name} has no ${option}`,
      )
  }
})

test('every variable that the blocks set is a setting', (t) => {
  const names = new Set<string>([...settingDefinitions().map(({ name }) => name), ...OTHER_VARIABLES])
  for (const { place, variables } of commands)
    for (const name of variables) t.true(names.has(name), `${place}: ${name} is not a setting`)
})

/** Variables of other programs. */
const OTHER_VARIABLES = ['NO_COLOR', 'NODE_OPTIONS', 'PATH', 'TERM'] as const

/** The words after `koa-django-sessions`, also as `npx` and `npm run cli --` have it; null for another program. */
function cliArguments(words: readonly string[]): readonly string[] | null {
  if (words.slice(0, 4).join(' ') === 'npm run cli --') return words.slice(4)
  const [program, ...args] =
    words[0] === 'npx' ? words.slice(1).filter((word) => word !== '--no-install') : words
  return program === 'koa-django-sessions' ? args : null
}

function startsService({ text }: Block): boolean {
  return shellCommands(text).some(
    ({ words }) => words.join(' ') === 'npm start' || (words[0] === 'node' && words.at(-1) === 'serve'),
  )
}

/** Every file of the project that git has, or would add, with the packages that `npm ci` has installed. */
async function checkout(t: Scope, folder = temporaryFolder(t)): Promise<string> {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { stdout } = await execute('git', list, { cwd: projectFolder })
  for (const path of stdout.split('\0')) {
    // What is deleted, and git does not know yet; a link to a folder.
    if (!statSync(join(projectFolder, path), { throwIfNoEntry: false })?.isFile()) continue
    mkdirSync(join(folder, dirname(path)), { recursive: true })
    copyFileSync(join(projectFolder, path), join(folder, path))
  }
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

async function runToItsEnd(t: ExecutionContext, block: Block, cwd: string): Promise<void> {
  const { output, ended } = startBlock(t, block, cwd)
  t.is(await ended, 0, output())
}

/** Until the service is ready, and then to its end. */
async function runService(t: ExecutionContext, block: Block, cwd: string): Promise<void> {
  const { next, stop } = startBlock(t, block, cwd)
  const { url } = await next('service.listening')
  await next('service.ready')
  t.is((await fetch(new URL('/health/ready', String(url)))).status, 200)
  await stop()
}

interface RunningBlock {
  output(): string
  /** The exit status, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** The first line of the service's log with this event. @throws Error when it ends without one. */
  next(event: string): Promise<LogLine>
  stop(): Promise<unknown>
}

function startBlock(t: ExecutionContext, { text }: Block, cwd: string): RunningBlock {
  const { PATH, HOME, TMPDIR } = process.env
  const env = { PATH, HOME, TMPDIR, ...freePorts }
  const [bash, args] = dyingWithUs('bash', ['-euo', 'pipefail', '-c', withoutOurselves(text)])
  // A group of its own: npm does not pass SIGTERM on to what it has started.
  const child = spawn(bash, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  let hasEnded = false
  void ended.then(() => {
    hasEnded = true
  })
  const kill = (signal: NodeJS.Signals) => {
    if (!hasEnded) killGroup(child.pid, signal) // Otherwise another process group may have its number by now.
  }
  const limit = setTimeout(kill, TIME_LIMIT, 'SIGKILL')
  t.teardown(async () => {
    clearTimeout(limit)
    kill('SIGKILL')
    await ended
  })
  let output = ''
  const collect = (chunk: string) => {
    output += chunk
  }
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', collect)
  return {
    output: () => output,
    ended,
    next: (event) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const line = lines(output).find((one) => one.event === event)
          if (line !== undefined) resolve(line)
        }
        child.stdout.on('data', look)
        look()
        void ended.then((end) => reject(new Error(`It ended (${end}) without ${event}:\n${output}`)))
      }),
    stop() {
      kill('SIGTERM')
      return ended
    },
  }
}

/** The whole lines of the service's log in this output. */
function lines(output: string): LogLine[] {
  const whole = output.split('\n').slice(0, -1)
  return whole.filter((line) => /^\{.*\}$/.test(line)).map((line) => JSON.parse(line))
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    process.kill(-Number(pid), signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** `npm ci` has installed the packages already, and `npm test` is what runs this test: neither runs once more. */
function withoutOurselves(text: string): string {
  return text.replace(/(?<=^|&& )npm (?:ci|test)(?=\s*(?:$|&&|#))/gm, ':')
}
