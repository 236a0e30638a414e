import { once } from 'node:events'
import { connect } from 'node:net'
import type { Knex } from 'knex'
import type { DjangoMiddlewareOptions } from '../../src/service/django-middleware.ts'
import { connect as openKnex } from '../engines/db-under-test.ts'
import { createTestDatabase, runScript, type TestDatabaseName } from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import { type RecordedLog, startLibrary } from '../support/library.ts'

export const SECRET_KEY = 'the secret key of the hostile tests'

/** Our site, on a table that these tests fill with hostile rows. */
export interface Site {
  readonly url: string
  readonly databaseUrl: string
  readonly db: Knex
  readonly log: RecordedLog
  /** The reasons why rows could not be read, in order. */
  readonly reasons: string[]
}

export async function startSite(
  t: Scope,
  database: TestDatabaseName,
  session: Partial<DjangoMiddlewareOptions> = {},
): Promise<Site> {
  const { url: databaseUrl, kind } = await createTestDatabase(t, database)
  // By default MariaDB accepts no statement of 16 MiB, and some of these rows are larger.
  if (kind === 'mysql') await runScript(databaseUrl, 'SET GLOBAL max_allowed_packet = 67108864')
  return openSite(t, databaseUrl, session)
}

/** Our site on an existing database. */
export async function openSite(
  t: Scope,
  databaseUrl: string,
  session: Partial<DjangoMiddlewareOptions> = {},
): Promise<Site> {
  const db = openKnex(databaseUrl)
  t.teardown(() => db.destroy())
  const reasons: string[] = []
  const events: DjangoMiddlewareOptions['events'] = { unreadable: (_, { reason }) => reasons.push(reason) }
  const { url, log } = await startLibrary(t, {
    session: { db, secretKeys: [SECRET_KEY], events, ...session },
  })
  return { url, databaseUrl, db, log, reasons }
}

export interface Answer {
  /** 0 if the server closed the connection. */
  readonly status: number
  readonly text: string
  /** The number on the home page, e.g. `1 time`; undefined for another page. */
  readonly visits: string | undefined
  /** The session key in Set-Cookie. */
  readonly key: string | undefined
}

/** Sends these characters unchanged, one byte each; returns everything received until the server closes the connection. */
export async function send(url: string, bytes: string): Promise<Answer> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {}) // The server may close the connection before it has read everything.
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  const text = Buffer.concat(chunks).toString('latin1')
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0),
    text,
    visits: /You have visited this page (.*?)\./.exec(text)?.[1],
    key: /^set-cookie: sessionid=([^;]*);/im.exec(text)?.[1],
  }
}

/** Visits the home page with this Cookie header. */
export function visit(url: string, cookie: string): Promise<Answer> {
  return send(
    url,
    `GET /catalog/ HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
  )
}

/** Runs `act`; returns its result, and the keys of the rows that were created, changed or deleted meanwhile. */
export async function watch<R>(
  { db }: Site,
  act: () => Promise<R>,
): Promise<{ result: R; made: string[]; changed: string[]; gone: string[] }> {
  const before = await rowsOf(db)
  const result = await act()
  const after = await rowsOf(db)
  return {
    result,
    made: [...after.keys()].filter((key) => !before.has(key)),
    changed: [...after]
      .filter(([key, row]) => before.has(key) && before.get(key) !== row)
      .map(([key]) => key),
    gone: [...before.keys()].filter((key) => !after.has(key)),
  }
}

async function rowsOf(db: Knex): Promise<Map<string, string>> {
  const rows: { session_key: string }[] = await db('django_session').select()
  return new Map(rows.map((row) => [row.session_key, JSON.stringify(row)]))
}

/** The log events since the last call, as text. */
export function readLog({ log }: Site): string {
  return JSON.stringify(log.events.splice(0))
}
