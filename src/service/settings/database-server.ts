import type { ServerSettings, UrlContext } from './database-settings.ts'
import type { DatabaseUrl } from './database-url.ts'

/** Removes the option of this name, and returns its value; null when it is missing. */
export function takeOption(options: Map<string, string>, name: string): string | null {
  const value = options.get(name) ?? null
  options.delete(name)
  return value
}

/** The options of libpq and of mysqlclient that stand for the parts of a URL. */
export interface UrlParts {
  readonly host: string
  readonly port: string
  readonly user: readonly string[]
  readonly password: readonly string[]
  readonly database: readonly string[]
}

/**
 * Reads the hosts, the user and the database. A part that the URL leaves out may be an option, as in
 * `postgres://user:password@/name?host=/cloudsql/…`. A name with a folder before it is the path of a socket
 * and then the database: `postgres://user:password@//cloudsql/project:region:instance/name` (django-environ, db_url_config).
 */
export function readServer(
  url: DatabaseUrl,
  { options, problems }: UrlContext,
  { defaultPort, parts }: { defaultPort: number; parts: UrlParts },
): Pick<ServerSettings, 'hosts' | 'writableOnly' | 'user' | 'password' | 'database'> {
  function part(given: string, names: readonly string[]): string {
    let value = given
    for (const name of names) {
      const option = takeOption(options, name)
      if (option === null || option === value) continue
      if (value !== '')
        problems.push(`its option ${name} contradicts the rest of the URL; write only one of the two`)
      else value = option
    }
    return value
  }

  const isHostSaid = url.hosts.some(({ host }) => host !== '')
  const [, folder = '', last = ''] = isHostSaid ? [] : (/^(\/.+)\/([^/]+)$/.exec(url.name) ?? [])
  const database = part(folder === '' ? url.name : last, parts.database)
  if (database === '') problems.push('it names no database; add /name after the host')
  const given = url.hosts.map(({ host }) => host || folder)
  const hosts = part(given.join(), [parts.host]).split(',')
  const ports = part(
    url.hosts
      .map(({ port }) => port ?? '')
      .join()
      .replace(/^,+$/, ''),
    [parts.port],
  ).split(',')
  if (ports.some((port) => !/^\d{0,5}$/.test(port) || Number(port) > 65_535))
    problems.push(`its option ${parts.port} is not a port; write a number from 1 to 65535`)
  if (ports.length > 1 && ports.length !== hosts.length)
    problems.push('it names more ports than hosts, or fewer; write each port after its host')
  return {
    // Unlike Django, whose drivers look for a socket where they were compiled to: one must be named here.
    hosts: hosts.map((host, at) => ({
      host: host || 'localhost',
      port: Number((ports.length > 1 ? ports[at] : ports[0]) || defaultPort),
    })),
    writableOnly: hosts.length > 1,
    user: part(url.user, parts.user),
    password: part(url.password, parts.password),
    database,
  }
}
