import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pythonOf, readyDjangoVersions } from './django-environments.ts'
import { execute, lastLine } from './executables.ts'
import { moveUnlessThere } from './mysql-from-debian.ts'
import { cacheFolder } from './places.ts'

/** The folder with Django's own tests of the sessions, which the wheel on PyPI does not have: of the very release. */
export function djangoTestsOf(version: string): string {
  return join(cacheFolder, 'django', version, 'tests')
}

/** The Django versions whose tests are ready, oldest first. */
export function versionsWithTests(): string[] {
  return readyDjangoVersions().filter((version) => existsSync(djangoTestsOf(version)))
}

/** Gets the tests that are missing from the source packages on PyPI. Returns the reason for each that could not be got. */
export async function prepareDjangoTests(
  say: (text: string) => void,
): Promise<{ version: string; reason: string }[]> {
  const missing = readyDjangoVersions().filter((version) => !existsSync(djangoTestsOf(version)))
  if (missing.length > 0) say(`getting the tests of Django ${missing.join(', ')} from PyPI`)
  const reasons = await Promise.all(
    missing.map((version) =>
      getTests(version).then(
        () => null,
        (error) => ({ version, reason: lastLine(error) }),
      ),
    ),
  )
  return reasons.filter((reason) => reason !== null)
}

async function getTests(version: string): Promise<void> {
  const python = pythonOf(version)
  await mkdir(join(cacheFolder, 'django'), { recursive: true })
  const folder = await mkdtemp(join(cacheFolder, 'django', 'new-'))
  try {
    const release = (await execute(python, ['-m', 'django', '--version'])).stdout.trim()
    const pip = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-binary=:all:']
    await execute(python, [...pip, '--no-deps', `--dest=${folder}`, `Django==${release}`])
    const [archive = ''] = await readdir(folder)
    const unpack = 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])'
    await execute(python, ['-W', 'ignore', '-c', unpack, join(folder, archive), folder])
    const source = (await readdir(folder)).find((name) => name !== archive) ?? ''
    // Tests of sessions use a cache of the tests of caches.
    const wanted = join(folder, 'wanted')
    await mkdir(wanted)
    for (const name of ['sessions_tests', 'cache'])
      await rename(join(folder, source, 'tests', name), join(wanted, name))
    await moveUnlessThere(wanted, djangoTestsOf(version))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
