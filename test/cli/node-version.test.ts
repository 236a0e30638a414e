import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { execute } from '../support/executables.ts'
import { projectFolder } from '../support/places.ts'
import { runCommand, temporaryFolder } from '../support/service.ts'

const versionOf = (node: string) => execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1)
const isTooOld = (version: string) => /^(?:\d|1\d|2[01]|22\.(?:\d|1[0-7]))\./.test(version)

for (const version of ['18.20.4', '20.19.5', '22.17.1']) {
  test(`on Node ${version} a command says what it needs, before it loads anything`, async (t) => {
    const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`
    const { status, stdout, stderr } = await runCommand(t, ['serve'], {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` },
    })
    t.is(stderr, `koa-django-sessions needs Node 22.18 or newer; this is Node ${version}\n`)
    t.deepEqual([status, stdout], [1, ''])
  })
}

// The machine's own, where it has an old one.
for (const node of ['/usr/bin/node', '/usr/local/bin/node']) {
  if (!existsSync(node) || !isTooOld(versionOf(node))) continue
  test(`what is built for npm ends with one line on ${node}, Node ${versionOf(node)}`, async (t) => {
    const folder = temporaryFolder(t)
    const tsc = join(projectFolder, 'node_modules/.bin/tsc')
    await execute(tsc, ['-p', projectFolder, '--outDir', join(folder, 'dist')])
    cpSync(join(projectFolder, 'package.json'), join(folder, 'package.json'))
    symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
    const main = join(folder, 'dist/cli/main.js')
    const { status, stdout, stderr } = await runCommand(t, ['serve'], { node, main })
    t.is(stderr, `koa-django-sessions needs Node 22.18 or newer; this is Node ${versionOf(node)}\n`)
    t.deepEqual([status, stdout], [1, ''])
  })
}
