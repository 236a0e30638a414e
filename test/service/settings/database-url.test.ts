import { readFileSync } from 'node:fs'
import test from 'ava'
import {
  type DatabaseUrl,
  parseDatabaseUrl,
  type UrlHost,
} from '../../../src/service/settings/database-url.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'

interface Row {
  url: string
  /** What dj-database-url says; null where it raises. */
  parsed:
    | (Omit<DatabaseUrl, 'scheme' | 'options' | 'hosts'> &
        UrlHost & { engine: string; options: Record<string, string> })
    | null
}

/** What django-environ says. */
interface Socket {
  readonly url: string
  readonly host: string
  readonly name: string
  readonly user: string
}

const { urls, sockets } = JSON.parse(
  readFileSync(new URL('database-urls.json', import.meta.url), 'utf8'),
) as { urls: Row[]; sockets: Socket[] }

const ENGINES: ReadonlyMap<string, string> = new Map([
  ['mysql', 'mysql'],
  ['mysql2', 'mysql'],
  ['postgres', 'postgresql'],
  ['postgresql', 'postgresql'],
  ['pgsql', 'postgresql'],
  ['sqlite', 'sqlite3'],
  // The same databases, by engines that have more to say about them.
  ['mysqlgis', 'mysql'],
  ['mysql-connector', 'django'],
  ['postgis', 'postgis'],
  ['timescale', 'postgresql'],
  ['timescalegis', 'postgis'],
  ['spatialite', 'spatialite'],
])

const parses = test.macro<[Row]>({
  title: (_, { url }) => `${url} is read as dj-database-url reads it`,
  exec(t, { url, parsed }) {
    const ours = parseDatabaseUrl(url)
    t.is(ours === null, parsed === null)
    if (ours === null) return
    const {
      scheme,
      options,
      hosts: [host],
      ...parts
    } = ours
    // dj-database-url turns an SQLite URL that names no file into one of a database in memory; we refuse both.
    const name = scheme === 'sqlite' ? parts.name || ':memory:' : parts.name
    t.deepEqual(
      { engine: ENGINES.get(scheme), ...parts, ...host, name, options: Object.fromEntries(options) },
      parsed,
    )
  },
})

for (const row of urls) test(parses, row)

for (const { url, host, name, user } of sockets) {
  test(`${url} names the socket that django-environ reads in it`, (t) => {
    const { database } = readSettings({ DATABASE_URL: url, DJANGO_SECRET_KEY: 'x' }, { cwd: '/nowhere' })
    t.like(database, { hosts: [{ host }], database: name, user })
  })
}

test('a URL names several hosts as a URL of libpq does', (t) => {
  const hosts = (url: string) => parseDatabaseUrl(url)?.hosts.map(({ host, port }) => `${host} ${port}`)
  t.deepEqual(hosts('mysql://user:p,w@DB1:3307,db2,[::1]:3308/library'), ['db1 3307', 'db2 null', '::1 3308'])
  t.deepEqual(hosts('postgresql://%2Frun%2Fa%2Cb,10.0.0.2:/library'), ['/run/a,b null', '10.0.0.2 null'])
  for (const list of ['db1,,db2', 'db1,', ',db1', 'db1:x,db2', 'db1,db2:65536'])
    t.is(parseDatabaseUrl(`mysql://user:password@${list}/library`), null, list)
})
