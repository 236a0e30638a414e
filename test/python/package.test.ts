import { cpSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createTestDatabase } from '../support/databases.ts'
import {
  findPythons,
  packagingPython,
  pythonOf,
  readyDjangoVersions,
} from '../support/django-environments.ts'
import { pythonEnvironment } from '../support/django-processes.ts'
import { execute } from '../support/executables.ts'
import { projectFolder, siteFolder } from '../support/places.ts'
import { temporaryFolder } from '../support/service.ts'

const python = packagingPython()
const versions = readyDjangoVersions()

if (python !== null) {
  for (const version of new Set([versions.at(0), versions.at(-1)].filter((each) => each !== undefined))) {
    test(`the wheel serves sessions of Django ${version} from a fresh virtual environment`, async (t) => {
      const wheel = await buildWheel(t, python)
      const place = temporaryFolder(t)
      await execute(pythonOf(version), ['-m', 'venv', place])
      const fresh = join(place, 'bin/python')
      const pip = ['-m', 'pip', '--quiet', '--disable-pip-version-check']
      await execute(fresh, [...pip, 'install', '--no-index', '--no-deps', wheel])
      const [packages = ''] = globSync('lib/*/site-packages', { cwd: place })
      writeFileSync(join(place, packages, 'django.pth'), await folderOfPackages(version))
      t.like(await execute(fresh, ['-m', 'pip', 'check']), { stdout: 'No broken requirements found.\n' })

      const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const lines = await visitTwice(fresh, url)
      t.deepEqual(lines.slice(0, 2), ['merging_sessions.db 1', 'merging_sessions.db 2'])
      t.true(lines[2]?.startsWith(place))
    })
  }

  test('the package has the types that mypy --strict wants', async (t) => {
    const folder = join(projectFolder, 'python')
    const args = ['-m', 'mypy', '--cache-dir=/dev/null', 'merging_sessions']
    const { stdout } = await execute(python, args, { cwd: folder })
    t.regex(stdout, /^Success: no issues found in \d source files\n$/)
  })

  test('the wheel holds the modules, py.typed and the licence, and asks for nothing but Django', async (t) => {
    const script =
      'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print("\\n".join(z.namelist()));' +
      'print(z.read([n for n in z.namelist() if n.endswith("METADATA")][0]).decode())'
    const { stdout } = await execute(python, ['-c', script, await buildWheel(t, python)])
    for (const file of readdirSync(join(projectFolder, 'python/merging_sessions')))
      if (file !== '__pycache__') t.true(stdout.includes(`merging_sessions/${file}\n`), file)
    t.regex(stdout, /licenses\/LICENSE\n/)
    t.deepEqual(stdout.match(/^Requires-.*$/gm), ['Requires-Python: >=3.8', 'Requires-Dist: Django>=2.2'])
  })
}

test('each Python from 3.8 on compiles the package', async (t) => {
  const files = globSync('python/merging_sessions/*.py', { cwd: projectFolder })
  t.true(files.length > 4)
  const script = 'import sys\nfor file in sys.argv[1:]: compile(open(file).read(), file, "exec")'
  const pythons = [...(await findPythons())].filter(([version]) => Number(version.split('.')[1]) >= 8)
  t.true(pythons.length > 0)
  for (const [version, program] of pythons)
    await t.notThrowsAsync(execute(program, ['-c', script, ...files], { cwd: projectFolder }), version)
})

test('the licence of the package is that of the project', (t) => {
  const text = (path: string) => readFileSync(join(projectFolder, path), 'utf8')
  t.is(text('python/LICENSE'), text('LICENSE'))
})

/** Builds the wheel from a copy, as a build leaves files beside the sources. Returns its path. */
async function buildWheel(t: ExecutionContext, builder: string): Promise<string> {
  const [source, built] = [join(temporaryFolder(t), 'python'), temporaryFolder(t)]
  cpSync(join(projectFolder, 'python'), source, { recursive: true })
  const pip = ['-m', 'pip', 'wheel', '--quiet', '--disable-pip-version-check', '--no-deps', '--no-index']
  await execute(builder, [...pip, '--no-build-isolation', `--wheel-dir=${built}`, source])
  return join(built, readdirSync(built)[0] ?? '')
}

async function folderOfPackages(version: string): Promise<string> {
  const script = 'import sysconfig; print(sysconfig.get_path("purelib"))'
  return (await execute(pythonOf(version), ['-c', script])).stdout
}

/** A visitor's two requests to LocalLibrary. Returns each engine and number of visits, and where the engine is from. */
async function visitTwice(python: string, databaseUrl: string): Promise<string[]> {
  const script = `
import django; django.setup()
from django.test import Client
import merging_sessions.db
client = Client()
for _ in range(2):
    assert client.get('/catalog/').status_code == 200
    print(type(client.session).__module__, client.session['num_visits'])
print(merging_sessions.db.__file__)`
  const env = {
    ...pythonEnvironment,
    DJANGO_SETTINGS_MODULE: 'locallibrary.settings',
    SECRET_KEY: 'a key of the tests',
    DATABASE_URL: databaseUrl,
    SESSION_ENGINE: 'merging_sessions.db',
  }
  const { stdout } = await execute(python, ['-W', 'ignore', '-c', script], { cwd: siteFolder, env })
  return stdout.trim().split('\n')
}
