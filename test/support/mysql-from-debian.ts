import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execute, findExecutable } from './executables.ts'
import { cacheFolder } from './places.ts'

/** How a MySQL server is run, and a folder of new data to copy where there is one. */
export interface MysqlProgram {
  /** The program and the first of its arguments. */
  command: readonly [string, ...string[]]
  template: string | null
}

const unpacked = join(cacheFolder, 'mysql')
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** The MySQL server that `unpackDebianMysql` left in the cache; null when it did not yet. */
export function findDebianMysql(): MysqlProgram | null {
  return existsSync(unpacked) ? programIn(unpacked) : null
}

/** Why Debian's MySQL cannot be had on this machine; null when it can. */
export function whyNoDebianMysql(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return 'Debian has it unpacked for Linux on x86_64 only'
  if (findExecutable(['apt-get']) === null || findExecutable(['dpkg-deb']) === null) return 'there is no apt'
  return existsSync(keyring) ? null : "there is no key of Debian's archive"
}

/**
 * Unpacks the MySQL server of Debian unstable (no stable release has one) into the cache, with the very libraries it
 * was built for. Nothing is installed: apt works on lists of its own, and the server runs under the loader unpacked
 * with it.
 */
export async function unpackDebianMysql(): Promise<void> {
  await mkdir(cacheFolder, { recursive: true })
  const dir = await mkdtemp(join(cacheFolder, 'mysql-'))
  try {
    const apt = await isolatedApt(join(dir, 'apt'))
    await execute('apt-get', ['-qq', 'update'], apt)
    await execute(
      'apt-get',
      ['-qq', '-y', '--no-install-recommends', '--download-only', 'install', 'mysql-server-core'],
      apt,
    )
    for (const file of await readdir(join(dir, 'apt/archives'))) {
      if (!file.endsWith('.deb') || /^(lib)?(perl|db5|gdbm|c-gconv)/.test(file)) continue
      await execute('dpkg-deb', ['-x', join(dir, 'apt/archives', file), join(dir, 'root')])
    }
    await rm(join(dir, 'apt'), { recursive: true })

    const { command, template } = programIn(dir)
    const [file, ...args] = command
    const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
    const small = '--innodb-redo-log-capacity=16M'
    await execute(file, [...args, '--initialize-insecure', `--datadir=${template}`, small, ...asRoot])
    await moveUnlessThere(dir, unpacked)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Moves a finished folder to its place, unless another run was quicker. */
export async function moveUnlessThere(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

function programIn(dir: string): MysqlProgram {
  const root = join(dir, 'root')
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu')
  return {
    command: [
      join(libraries, 'ld-linux-x86-64.so.2'),
      '--library-path',
      `${libraries}:${root}/usr/lib/mysql/private`,
      join(root, 'usr/sbin/mysqld'),
      '--no-defaults',
      `--lc-messages-dir=${root}/usr/share/mysql`,
      `--character-sets-dir=${root}/usr/share/mysql/charsets`,
      `--plugin-dir=${root}/usr/lib/mysql/plugin`,
      '--secure-file-priv=NULL',
    ],
    template: join(dir, 'data'),
  }
}

/** The environment in which apt-get knows Debian unstable and nothing of the machine's own packages. */
async function isolatedApt(dir: string): Promise<{ env: NodeJS.ProcessEnv }> {
  for (const folder of ['lists/partial', 'archives/partial', 'sources']) {
    await mkdir(join(dir, folder), { recursive: true })
  }
  await writeFile(join(dir, 'status'), '')
  await writeFile(
    join(dir, 'sources/sid.sources'),
    `Types: deb\nURIs: ${await debianMirror()}\nSuites: sid\nComponents: main\nSigned-By: ${keyring}\n`,
  )
  await writeFile(
    join(dir, 'conf'),
    `Dir::State "${dir}"; Dir::State::status "${dir}/status"; Dir::Cache "${dir}";
Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "${dir}/sources";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::Retries "3";
`,
  )
  return { env: { ...process.env, APT_CONFIG: join(dir, 'conf') } }
}

/** The mirror that this machine takes its own packages from, else Debian's own. */
async function debianMirror(): Promise<string> {
  for (const file of ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list']) {
    const text = existsSync(file) ? await readFile(file, 'utf8') : ''
    const match = /^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(https?:\S+\/debian\/?)(?:\s|$)/m.exec(text)
    if (match?.[1] !== undefined) return match[1]
  }
  return 'http://deb.debian.org/debian'
}
