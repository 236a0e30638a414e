/**
 * The floor: node:http, mysql2 and a page that is put together by hand. Sessions are Django's, signed and compressed;
 * the counts are one statement, shared by the requests that wait, as ours are. It lacks all else: what is saved is saved
 * blindly, and nothing is checked, merged, repeated, limited, logged or measured.
 */
import mysql, { type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import { column, createRowCodec, inTwoWeeks, newSessionKey } from './django-rows.ts'
import { COUNTS, type Counts, createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE, dateStrings: true })
const codec = createRowCodec(secretKey)
const page = createParts()

const LOAD = 'SELECT session_data FROM django_session WHERE session_key = ? AND expire_date > ?'
const INSERT = 'INSERT INTO django_session (session_data, expire_date, session_key) VALUES (?, ?, ?)'
const UPDATE = 'UPDATE django_session SET session_data = ?, expire_date = ? WHERE session_key = ?'
const ALL_COUNTS = `SELECT ${Object.entries(COUNTS)
  .map(([name, statement]) => `(${statement}) AS ${name}`)
  .join(', ')}`

let running: Promise<Counts> | null = null
let waiting: Promise<Counts> | null = null

serve(async (request, response) => {
  const sent = /(?:^|; )sessionid=(\w+)/.exec(request.headers.cookie ?? '')?.[1]
  const [stored, counts] = await Promise.all([sent === undefined ? null : load(sent), sharedCounts()])
  const session = stored ?? {}
  const numVisits = Number(session.num_visits ?? 0) + 1
  session.num_visits = numVisits
  const key = sent === undefined || stored === null ? newSessionKey() : sent
  const values = [codec.encode(session), inTwoWeeks(), key]
  await db.query<ResultSetHeader>(stored === null ? INSERT : UPDATE, values)
  const body = Buffer.from(page(counts, numVisits))
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': body.length,
    'Set-Cookie': `sessionid=${key}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax`,
    Vary: 'Cookie',
  })
  response.end(body)
})

async function load(key: string): Promise<Record<string, unknown> | null> {
  const [rows] = await db.query<RowDataPacket[]>(LOAD, [key, column(Date.now())])
  return rows[0] === undefined ? null : codec.decode(rows[0].session_data)
}

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
  running = db
    .query<RowDataPacket[]>(ALL_COUNTS)
    .then(([rows]) => rows[0] as Counts)
    .finally(() => {
      running = null
    })
  return running
}

/** The page in parts, cut where its numbers stand: what one would write by hand, byte for byte the page of all others. */
function createParts(): (counts: Counts, numVisits: number) => string {
  const numbers = { books: 900001, copies: 900002, copiesAvailable: 900003, authors: 900004 }
  const [a, b, c, d, e, f] = createPage()(numbers, 900005).split(/9000\d\d/)
  return ({ books, copies, copiesAvailable, authors }, numVisits) =>
    `${a}${books}${b}${copies}${c}${copiesAvailable}${d}${authors}${e}${numVisits}${numVisits === 1 ? f?.replace(' times', ' time') : f}`
}
