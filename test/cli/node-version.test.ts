import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { execute } from '../support/executables.ts'
import { fileScope } from '../support/file-scope.ts'
import { readyNodes } from '../support/nodes.ts'
import { projectFolder } from '../support/places.ts'
import { runCommand, temporaryFolder } from '../support/service.ts'

const versionOf = (node: string) => execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1)
const isTooOld = (version: string) => /^(?:\d|1\d|2[01]|22\.(?:\d|1[0-7]))\./.test(version)

for (const version of ['18.20.4', '20.19.5', '22.17.1']) {
  test(`on Node ${version} a command says which Node it needs, before it loads anything`, async (t) => {
    const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`
    const { status, stdout, stderr } = await runCommand(t, ['serve'], {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` },
    })
    t.is(stderr, `koa-django-sessions needs Node 22.18 or newer; this is Node ${version}\n`)
    t.deepEqual([status, stdout], [1, ''])
  })
}

const file = fileScope(test)
let built: Promise<string> | undefined

/** Builds what npm gets, as another package finds it; returns its folder. */
async function build(): Promise<string> {
  const folder = temporaryFolder(file)
  const tsc = join(projectFolder, 'node_modules/.bin/tsc')
  await execute(tsc, ['-p', projectFolder, '--outDir', join(folder, 'dist')])
  cpSync(join(projectFolder, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

// The machine's own Node, if it is old, and those from npm.
const old = ['/usr/bin/node', '/usr/local/bin/node']
  .filter((file) => existsSync(file))
  .map((file) => ({ file, version: versionOf(file) }))
  .filter(({ version }) => isTooOld(version))

for (const { file: node, version } of [...readyNodes('tooOld'), ...old]) {
  const words = `koa-django-sessions needs Node 22.18 or newer; this is Node ${version}`

  test(`the built package says which Node it needs on ${node}, Node ${version}`, async (t) => {
    built ??= build()
    const folder = await built
    const main = join(folder, 'dist/cli/main.js')
    const { status, stdout, stderr } = await runCommand(t, ['serve'], { node, main })
    t.is(stderr, `${words}\n`)
    t.deepEqual([status, stdout], [1, ''])
    // By the package name, as from another package.
    for (const name of [
      'koa-django-sessions',
      'koa-django-sessions/express',
      'koa-django-sessions/fastify',
    ]) {
      const program = `import(${JSON.stringify(name)}).catch(({ message }) => console.log(message))`
      const said = await execute(node, ['--input-type=module', '--eval', program], { cwd: folder })
      t.is(said.stdout, `${words}\n`, name)
    }
  })

  test(`npm start says which Node it needs on ${node}, Node ${version}`, async (t) => {
    const { scripts } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))
    for (const script of [scripts.start, scripts.cli]) {
      const [program, ...args] = script.split(' ')
      t.is(program, 'node')
      const failure = await t.throwsAsync(execute(node, args, { cwd: projectFolder }), { code: 1 } as never)
      t.is((failure as unknown as { stderr: string }).stderr, `${words}\n`, script)
    }
  })
}
