import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createContext } from '../../src/cli/context.ts'
import { createProgram } from '../../src/cli/program.ts'
import { projectFolder } from '../support/places.ts'
import { runCommand } from '../support/service.ts'

const commands = createProgram(createContext({})).commands.map((command) => command.name())

test('--version prints the version of the package, on standard output', async (t) => {
  const { release } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))
  const { status, stdout, stderr } = await runCommand(t, ['--version'])
  t.deepEqual([status, stdout, stderr], [0, `${release}\n`, ''])
})

test('the help names every command', async (t) => {
  const { stdout } = await runCommand(t, ['--help'])
  t.true(commands.length >= 3)
  for (const name of commands) t.regex(stdout, new RegExp(`^ {2}${name} `, 'm'))
})

for (const name of commands) {
  test(`${name} --help shows an example, and exits with 0`, async (t) => {
    const { status, stdout, stderr } = await runCommand(t, [name, '--help'])
    t.deepEqual([status, stderr], [0, ''])
    t.regex(stdout, new RegExp(`Examples:\\n(?: {2}.*\\n)*? {2}\\$ .*koa-django-sessions ${name}\\b`))
  })

  test(`${name} with an unknown option says so on standard error, and exits with 2`, async (t) => {
    const { status, stdout, stderr } = await runCommand(t, [name, '--no-such-option'])
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, /^error: unknown option '--no-such-option'\n/)
  })
}

for (const args of [[], ['no-such-command'], ['encode', '--format', 'yaml']]) {
  test(`wrong usage exits with 2, and nothing is on standard output: ${JSON.stringify(args)}`, async (t) => {
    const { status, stdout } = await runCommand(t, args)
    t.deepEqual([status, stdout], [2, ''])
  })
}

test('a command that lacks a setting exits with 2, and one line says which', async (t) => {
  const { status, stdout, stderr } = await runCommand(t, ['decode'], { input: '\n' })
  t.deepEqual([status, stdout], [2, ''])
  t.regex(stderr, /^SettingsError: DJANGO_SECRET_KEY is empty; [^\n]*\n$/)
})
