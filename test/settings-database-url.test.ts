import { readFileSync } from 'node:fs'
import test from 'ava'
import { type DatabaseUrl, parseDatabaseUrl } from '../src/settings/database-url.ts'

interface Row {
  url: string
  /** What dj-database-url says; null where it raises. */
  parsed:
    | (Omit<DatabaseUrl, 'scheme' | 'options'> & { engine: string; options: Record<string, string> })
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
    const { scheme, options, ...parts } = ours
    // dj-database-url turns an SQLite URL that names no file into one of a database in memory; we refuse both.
    const name = scheme === 'sqlite' ? parts.name || ':memory:' : parts.name
    t.deepEqual({ engine: ENGINES.get(scheme), ...parts, name, options: Object.fromEntries(options) }, parsed)
  },
})

for (const row of urls) test(parses, row)
