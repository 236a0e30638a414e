/**
 * The floor: node:http, mysql2 and a hand-written page. Sessions are Django's, signed and compressed. The counts are one
 * statement, shared by the requests that wait, as in the service. It does nothing else: saves overwrite without a
 * comparison, and nothing is checked, merged, retried, limited, logged or measured. Its parts can be exchanged, to
 * measure the cost of an alternative.
 */
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { column, createRowCodec, inTwoWeeks, newSessionKey } from './django-rows.ts'
import { COUNTS, type Counts, createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

export interface FloorParts {
  /** Resolves to `session_data` of the live row. */
  load(key: string, now: string): Promise<string | undefined>
  insert(key: string, data: string, expireDate: string): Promise<unknown>
  update(key: string, data: string, expireDate: string): Promise<unknown>
  countAll(): Promise<Counts>
}

export const LOAD: string =
  'SELECT session_data FROM django_session WHERE session_key = ? AND expire_date > ?'
export const INSERT: string =
  'INSERT INTO django_session (session_data, expire_date, session_key) VALUES (?, ?, ?)'
export const UPDATE: string =
  'UPDATE django_session SET session_data = ?, expire_date = ? WHERE session_key = ?'
export const ALL_COUNTS: string = `SELECT ${Object.entries(COUNTS)
  .map(([name, statement]) => `(${statement}) AS ${name}`)
  .join(', ')}`

/** The parts with mysql2's own pool. */
export function mysqlParts(): FloorParts {
  const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE, dateStrings: true })
  return {
    async load(key, now) {
      const [rows] = await db.query<RowDataPacket[]>(LOAD, [key, now])
      return rows[0]?.session_data
    },
    insert: (key, data, expireDate) => db.query(INSERT, [data, expireDate, key]),
    update: (key, data, expireDate) => db.query(UPDATE, [data, expireDate, key]),
    async countAll() {
      const [rows] = await db.query<RowDataPacket[]>(ALL_COUNTS)
      return rows[0] as Counts
    },
  }
}

export function serveFloor(parts: FloorParts, page: (counts: Counts, numVisits: number) => string): void {
  const codec = createRowCodec(secretKey)
  let running: Promise<Counts> | null = null
  let waiting: Promise<Counts> | null = null

  function sharedCounts(): Promise<Counts> {
    if (running === null) return startCounts()
    const next = (): Promise<Counts> => {
      waiting = null
      return startCounts()
    }
    waiting ??= running.then(next, next)
    return waiting
  }

  function startCounts(): Promise<Counts> {
    running = parts.countAll().finally(() => {
      running = null
    })
    return running
  }

  serve(async (request, response) => {
    const sent = /(?:^|; )sessionid=(\w+)/.exec(request.headers.cookie ?? '')?.[1]
    const [text, counts] = await Promise.all([
      sent === undefined ? undefined : parts.load(sent, column(Date.now())),
      sharedCounts(),
    ])
    const stored = text === undefined ? null : codec.decode(text)
    const session = stored ?? {}
    const numVisits = Number(session.num_visits ?? 0) + 1
    session.num_visits = numVisits
    const key = sent === undefined || stored === null ? newSessionKey() : sent
    const save = stored === null ? parts.insert : parts.update
    await save(key, codec.encode(session), inTwoWeeks())
    const body = Buffer.from(page(counts, numVisits))
    response.writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Length': body.length,
      'Set-Cookie': `sessionid=${key}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax`,
      Vary: 'Cookie',
    })
    response.end(body)
  })
}

/** The page split at its numbers, as in hand-written code; byte for byte the page of the other targets. */
export function pageByHand(): (counts: Counts, numVisits: number) => string {
  const numbers = { books: 900001, copies: 900002, copiesAvailable: 900003, authors: 900004 }
  const [a, b, c, d, e, f] = createPage()(numbers, 900005).split(/9000\d\d/)
  return ({ books, copies, copiesAvailable, authors }, numVisits) =>
    `${a}${books}${b}${copies}${c}${copiesAvailable}${d}${authors}${e}${numVisits}${numVisits === 1 ? f?.replace(' times', ' time') : f}`
}
