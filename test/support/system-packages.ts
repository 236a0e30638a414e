import { execute, findExecutable } from './executables.ts'

/**
 * Installs packages of the system with apt, as root or through a sudo that asks nothing.
 * @throws Error saying what to install by hand where that is not possible.
 */
export async function installSystemPackages(packages: readonly string[]): Promise<void> {
  const byHand = `install by hand: ${packages.join(' ')} (as Debian calls them)`
  if (findExecutable(['apt-get']) === null) throw new Error(`there is no apt; ${byHand}`)
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  if (prefix.length > 0 && !(await sudoWorks()))
    throw new Error(`neither root nor sudo without a password; ${byHand}`)
  const apt = async (...args: string[]) => {
    const [file = '', ...rest] = [
      ...prefix,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-qq',
      ...args,
    ]
    await execute(file, rest)
  }
  await apt('update')
  await apt('install', '-y', '--no-upgrade', '--no-install-recommends', ...packages)
}

async function sudoWorks(): Promise<boolean> {
  if (findExecutable(['sudo']) === null) return false
  return execute('sudo', ['-n', 'true']).then(
    () => true,
    () => false,
  )
}
