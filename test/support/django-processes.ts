import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pythonOf, readyDjangoVersions } from './django-environments.ts'
import { dyingWithUs } from './executables.ts'
import { siteFolder } from './places.ts'

/** What each Python of the site starts with; a SECRET_KEY of our own environment never reaches it. */
export const pythonEnvironment: NodeJS.ProcessEnv = {
  PATH: process.env.PATH,
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONIOENCODING: 'utf-8:surrogatepass',
}

export interface ForkServer {
  readonly version: string
  /** The path of its Unix socket. */
  readonly socket: string
  stop(): Promise<void>
}

/**
 * Starts a process for each Django version that runs scripts in forks of itself (test/django-site/fork_server.py): a fork
 * needs a fifth of the CPU time of a new Python that imports Django.
 */
export function startForkServers(): Promise<ForkServer[]> {
  const started = readyDjangoVersions().map(async (version) => {
    const socket = join(tmpdir(), `django-${version}.sock`)
    const server = spawn(...dyingWithUs(pythonOf(version), ['-W', 'ignore', 'fork_server.py', socket]), {
      cwd: siteFolder,
      env: pythonEnvironment,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const [line] = await Promise.race([once(createInterface(server.stdout), 'line'), once(server, 'close')])
    if (line !== 'ready') throw new Error(`The fork server of Django ${version} did not start`)
    const stop = async () => {
      server.stdin.end()
      if (server.exitCode === null) await once(server, 'close')
    }
    return { version, socket, stop }
  })
  return Promise.all(started)
}

/** The command that runs `python ARGS` in the environment of a Django version: in a fork, where this run has a fork server. */
export function pythonCommand(
  version: string,
  args: readonly string[],
): [file: string, args: readonly string[]] {
  const python = pythonOf(version)
  const sockets: Record<string, string> = JSON.parse(process.env.TEST_DJANGO ?? '{}')
  const socket = sockets[version]
  // `-m` runs a program of its own, such as gunicorn, which forks itself.
  if (socket === undefined || args[0] === '-m') return dyingWithUs(python, ['-W', 'ignore', ...args])
  return dyingWithUs(python, ['-I', '-S', join(siteFolder, 'fork_client.py'), socket, ...args])
}
