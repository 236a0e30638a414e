import { readFileSync } from 'node:fs'
import test from 'ava'
import { type DatabaseUrl, parseDatabaseUrl, type UrlHost } from '../src/settings/database-url.ts'

interface Row {
  url: string
  /** What dj-database-url says; null where it raises. */
  parsed:
    | (Omit<DatabaseUrl, 'scheme' | 'options' | 'hosts'> &
        UrlHost & { engine: string; options: Record<string, string> })
    | null
}

const { urls } = JSON.parse(
  readFileSync(new URL('settings-database-urls.json', import.meta.url), 'utf8'),
) as { urls: Row[] }

const ENGINES: ReadonlyMap<string, string> = new Map([
  ['mysql', 'mysql'],
  ['mysql2', 'mysql'],
  ['postgres', 'postgresql'],
  ['postgresql', 'postgresql'],
  ['pgsql', 'postgresql'],
  ['sqlite', 'sqlite3'],
])

const parses = test.macro<[Row]>({
  title: (_, { url }) => `${url} is what dj-database-url takes it for`,
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

test('a URL names several hosts as those of libpq do', (t) => {
  const hosts = (url: string) => parseDatabaseUrl(url)?.hosts.map(({ host, port }) => `${host} ${port}`)
  t.deepEqual(hosts('mysql://user:p,w@DB1:3307,db2,[::1]:3308/library'), ['db1 3307', 'db2 null', '::1 3308'])
  t.deepEqual(hosts('postgresql://%2Frun%2Fa%2Cb,10.0.0.2:/library'), ['/run/a,b null', '10.0.0.2 null'])
  for (const list of ['db1,,db2', 'db1,', ',db1', 'db1:x,db2', 'db1,db2:65536'])
    t.is(parseDatabaseUrl(`mysql://user:password@${list}/library`), null, list)
})
