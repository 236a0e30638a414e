/**
 * What TypeScript says of a program that uses the installed package: each file of consumers/ compiles, and each of its
 * `@ts-expect-error` lines is an error.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { execute } from '../support/executables.ts'
import { packPackage } from '../support/packed.ts'
import { projectFolder } from '../support/places.ts'

const folder = mkdtempSync(join(tmpdir(), 'types-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const consumers = new URL('consumers/', import.meta.url)

test.before('the package is unpacked beside what it needs', async (t) => {
  t.timeout(300_000)
  const own = join(folder, 'node_modules/koa-django-sessions')
  mkdirSync(own, { recursive: true })
  await execute('tar', ['-xzf', await packPackage(), '--strip-components=1', '-C', own])
  for (const name of readdirSync(join(projectFolder, 'node_modules'))) {
    if (name === 'koa-django-sessions' || name.startsWith('.')) continue
    symlinkSync(join(projectFolder, 'node_modules', name), join(folder, 'node_modules', name))
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
})

const COMPILERS = { '5.9': 'typescript-5', '7': 'typescript' }

const MODULES = {
  nodenext: { module: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
}

for (const name of readdirSync(consumers)) {
  for (const [version, compiler] of Object.entries(COMPILERS)) {
    for (const [resolution, module] of Object.entries(MODULES)) {
      test.serial(`${name} compiles under TypeScript ${version} with ${resolution}`, async (t) => {
        t.timeout(120_000)
        cpSync(new URL(name, consumers), join(folder, name))
        const compilerOptions = {
          ...module,
          target: 'es2024',
          types: ['node'],
          strict: true,
          noUncheckedIndexedAccess: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: true,
          noEmit: true,
        }
        writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [name] }))
        t.is(await said(compiler), '')
      })
    }
  }
}

async function said(compiler: string): Promise<string> {
  const tsc = join(projectFolder, 'node_modules', compiler, 'bin/tsc')
  return execute(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? String(error),
  )
}
