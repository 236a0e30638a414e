import test from 'ava'
import { SESSION_COUNT_CHECKS } from '../../../src/operations/doctor/sessions-counts.ts'
import { runSql, testDatabases } from '../../support/databases.ts'
import { type PlantedSite, plantSite, secretKey } from './planted-site.ts'

const VERSION = '5.2'

async function counts(site: PlantedSite, ours: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const findings = await site.examine(ours, SESSION_COUNT_CHECKS)
  return findings.map(({ id, result }) => `${id} ${result.outcome === 'ok' ? result.read : result.outcome}`)
}

for (const database of testDatabases) {
  test(`sessions are counted, measured and sorted by what can be read, on ${database}`, async (t) => {
    const site = await plantSite(t, { version: VERSION, database })
    t.deepEqual(await counts(site), [
      'sessions.I001 0 sessions: 0 live, 0 expired',
      'sessions.I002 0 bytes; 0 sessions read',
      'sessions.I003 skipped',
    ])
    await site.saveHere(3)
    await site.saveHere(2, { ours: { DJANGO_SECRET_KEY: `${secretKey} no more` } })
    await site.saveHere(1, { now: new Date('2026-01-02T03:04:05Z') })
    const garbage = `'garbage', '${'?'.repeat(300)}', '2001-02-03 04:05:06'`
    await runSql(
      site.url,
      `INSERT INTO django_session (session_key, session_data, expire_date) VALUES (${garbage})`,
    )
    t.deepEqual(await counts(site), [
      'sessions.I001 7 sessions: 5 live, 2 expired',
      'sessions.I002 300 bytes; 7 sessions read',
      'sessions.I003 of the newest 7 sessions, not readable: 2 signature, 1 format',
    ])
  })

  test(`a table with many sessions is not counted to its end, on ${database}`, async (t) => {
    const site = await plantSite(t, { version: VERSION, database })
    const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS n`).join(' UNION ALL ')
    const from = ['a', 'b', 'c', 'd'].map((name) => `(${digits}) AS ${name}`).join(', ')
    const key = (prefix: string) =>
      ({
        sqlite: `'${prefix}' || a.n || b.n || c.n || d.n`,
        postgresql: `'${prefix}' || a.n || b.n || c.n || d.n`,
        mysql: `concat('${prefix}', a.n, b.n, c.n, d.n)`,
        mariadb: `concat('${prefix}', a.n, b.n, c.n, d.n)`,
      })[database]
    for (const prefix of ['x', 'y'])
      await site.sql(
        `INSERT INTO django_session (session_key, session_data, expire_date) SELECT ${key(prefix)}, 'text', '2035-01-01 00:00:00' FROM ${from}`,
      )
    const [count] = await counts(site)
    t.regex(
      count ?? '',
      /^sessions\.I001 (?:about|at least) \d{5} sessions: more than 10000 live, 0 expired$/,
    )
  })
}
