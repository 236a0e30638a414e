import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execute, findExecutable, lastLine } from './executables.ts'
import { moveUnlessThere } from './mysql-from-debian.ts'
import { cacheFolder } from './places.ts'

/**
 * The Django versions that tests run, with all they need, pinned; and the Pythons that will do, best first.
 * psycopg2 2.9 returns offsets that Django 2.2 cannot read; Django 4.2 and later take psycopg 3.
 */
const environments: readonly { version: string; pythons: readonly string[]; packages: readonly string[] }[] =
  [
    {
      version: '2.2',
      pythons: ['3.9', '3.8', '3.7', '3.6'],
      packages: [
        ...['Django==2.2.28', 'pytz==2025.2', 'sqlparse==0.4.4'],
        ...['PyMySQL==1.0.2', 'psycopg2-binary==2.8.6'],
        ...['redis==4.6.0', 'django-redis==4.12.1', 'async-timeout==5.0.1'],
        ...['pylibmc==1.6.3', 'python-memcached==1.59', 'six==1.17.0'],
        ...['argon2-cffi==21.3.0', 'bcrypt==3.2.2', 'cffi==2.0.0'],
        'django-user-sessions==1.7.1',
      ],
    },
    {
      version: '3.2',
      pythons: ['3.11', '3.10', '3.9', '3.8'],
      packages: [
        ...['Django==3.2.25', 'pytz==2025.2', 'sqlparse==0.5.3', 'asgiref==3.8.1'],
        ...['PyMySQL==1.1.1', 'psycopg2-binary==2.9.10'],
        ...['redis==5.0.8', 'django-redis==5.4.0', 'pylibmc==1.6.3', 'pymemcache==4.0.0'],
        ...['argon2-cffi==23.1.0', 'bcrypt==4.1.3', 'cffi==2.1.1'],
        ...['django-user-sessions==2.0.0', 'django-qsessions==1.1.5'],
      ],
    },
    {
      version: '4.2',
      pythons: ['3.11', '3.12', '3.10', '3.9', '3.8'],
      packages: [
        ...['Django==4.2.30', 'tzdata==2025.2', 'sqlparse==0.5.3', 'asgiref==3.8.1'],
        ...['PyMySQL==1.1.1', 'psycopg[binary]==3.2.13', 'typing_extensions==4.13.2'],
        ...['redis==5.3.1', 'django-redis==5.4.0', 'pylibmc==1.6.3', 'pymemcache==4.0.0'],
        ...['argon2-cffi==23.1.0', 'bcrypt==4.3.0', 'cffi==2.1.1'],
        ...['django-user-sessions==2.0.0', 'django-qsessions==2.1.0'],
      ],
    },
    {
      version: '5.2',
      pythons: ['3.11', '3.12', '3.13', '3.10'],
      packages: [
        ...['Django==5.2.19', 'tzdata==2025.2', 'sqlparse==0.5.3', 'asgiref==3.8.1'],
        ...['PyMySQL==1.1.1', 'psycopg[binary]==3.2.13', 'typing_extensions==4.13.2'],
        ...['redis==6.4.0', 'django-redis==6.0.0', 'pylibmc==1.6.3', 'pymemcache==4.0.0'],
        ...['argon2-cffi==25.1.0', 'bcrypt==5.0.0', 'cffi==2.1.1'],
        ...['django-user-sessions==2.0.0', 'django-qsessions==2.1.0', 'gunicorn==23.0.0'],
      ],
    },
    {
      version: '6.1',
      pythons: ['3.13', '3.12', '3.14'],
      packages: [
        ...['Django==6.1.3', 'tzdata==2026.6', 'sqlparse==0.6.1', 'asgiref==3.13.0'],
        ...['PyMySQL==1.2.4', 'psycopg[binary]==3.3.9', 'typing_extensions==4.16.0'],
        ...['redis==8.1.0', 'django-redis==7.0.0', 'pymemcache==4.0.0'],
        ...['argon2-cffi==25.1.0', 'bcrypt==5.0.0', 'cffi==2.1.1'],
        ...['django-user-sessions==2.0.0', 'django-qsessions==2.1.0'],
      ],
    },
  ]

/**
 * Django with the servers that people run it by, apart from the versions above: tests that compare versions need none of
 * these. pyuwsgi is uWSGI as a wheel.
 */
const servers = {
  version: 'servers',
  pythons: ['3.11', '3.12', '3.13', '3.10'],
  packages: [
    ...['Django==5.2.19', 'sqlparse==0.6.1', 'asgiref==3.13.0'],
    ...['gunicorn==27.0.1', 'packaging==26.4', 'pyuwsgi==2.0.30.post1'],
    ...['uvicorn==0.54.0', 'click==8.5.1', 'h11==0.16.0'],
  ],
}

/** What builds and checks the Python package, whose build then needs no network. */
const packaging = {
  version: 'packaging',
  pythons: ['3.12', '3.13', '3.11', '3.10'],
  packages: [
    'setuptools==84.2.1',
    ...['mypy==2.4.1', 'mypy_extensions==1.2.0', 'librt==0.17.0', 'ast_serialize==0.13.1'],
    ...['pathspec==1.1.1', 'typing_extensions==4.16.0'],
  ],
}

/** The Python of an environment with setuptools and mypy; null when it could not be made. */
export function packagingPython(): string | null {
  return isReady(packaging) ? pythonOf(packaging.version) : null
}

/** The Python of an environment with Django, gunicorn, uvicorn and uWSGI; null when it could not be made. */
export function serversPython(): string | null {
  return isReady(servers) ? pythonOf(servers.version) : null
}

/** The versions whose virtual environment is ready, oldest first. */
export function readyDjangoVersions(): string[] {
  return environments.filter(isReady).map(({ version }) => version)
}

/** The Python of a version's virtual environment. */
export function pythonOf(version: string): string {
  return join(cacheFolder, 'django', version, 'bin/python')
}

/** Makes the environments that are missing. Returns the reason for each that could not be made. */
export async function prepareDjango(
  say: (text: string) => void,
): Promise<{ version: string; reason: string }[]> {
  const missing = [...environments, servers, packaging].filter((environment) => !isReady(environment))
  if (missing.length === 0) return []
  const pythons = await findPythons()
  const reasons = await Promise.all(
    missing.map(async ({ version, pythons: wanted, packages }) => {
      const python = wanted.find((each) => pythons.has(each))
      const program = python === undefined ? undefined : pythons.get(python)
      if (program === undefined) {
        return { version, reason: `no Python ${wanted.toReversed().join(', ')} with venv was found` }
      }
      say(`Django ${version}: making a virtual environment with Python ${python}`)
      return makeEnvironment(version, program, packages).then(
        () => null,
        (error) => ({ version, reason: lastLine(error) }),
      )
    }),
  )
  return reasons.filter((reason) => reason !== null)
}

/** Whether some Python here can make a virtual environment. */
export async function hasPython(): Promise<boolean> {
  return readyDjangoVersions().length > 0 || (await findPythons()).size > 0
}

function isReady({ version, packages }: { version: string; packages: readonly string[] }): boolean {
  try {
    realpathSync(pythonOf(version))
    return readFileSync(join(cacheFolder, 'django', version, 'packages.txt'), 'utf8') === packages.join('\n')
  } catch {
    return false
  }
}

async function makeEnvironment(version: string, python: string, packages: readonly string[]): Promise<void> {
  const place = join(cacheFolder, 'django', version)
  await mkdir(join(cacheFolder, 'django'), { recursive: true })
  const fresh = await mkdtemp(join(cacheFolder, 'django', 'new-'))
  try {
    await execute(python, ['-m', 'venv', fresh])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:']
    await execute(join(fresh, 'bin/python'), [...pip, ...packages])
    await writeFile(join(fresh, 'packages.txt'), packages.join('\n'))
    // An outdated environment makes room; two runs at once end with the one that was quicker.
    const outdated = await mkdtemp(join(cacheFolder, 'django', 'old-'))
    await rename(place, outdated).catch(() => null)
    await moveUnlessThere(fresh, place)
    await rm(outdated, { recursive: true, force: true })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

/** The Pythons of this machine that can make a virtual environment, on PATH or from pyenv, by their version. */
export async function findPythons(): Promise<Map<string, string>> {
  const names = [...new Set(environments.flatMap(({ pythons }) => pythons))].map(
    (version) => `python${version}`,
  )
  const pyenv = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  const candidates = [
    ...(existsSync(pyenv) ? readdirSync(pyenv).map((name) => join(pyenv, name, 'bin/python3')) : []),
    ...[...names, 'python3'].map((name) => findExecutable([name])).filter((file) => file !== null),
  ]
  const script = 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])'
  const answers = await Promise.all(
    candidates.map(async (file) => {
      const answer = await execute(file, ['-c', script]).catch(() => null)
      return answer === null ? [] : [[answer.stdout.trim(), file] as const]
    }),
  )
  return new Map(answers.flat())
}
