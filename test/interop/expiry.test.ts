import test from 'ava'
import { versionProfile } from '../../src/django/versions.ts'
import type { Session } from '../../src/session/session.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { secretKey, startKoa, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const COOKIE_AGE = 5000

/** 02:04:05.678 UTC. */
const INSTANT = new Date('2035-01-02T02:04:05.678Z')
const THREE_DAYS = 3 * 86_400

/** The common settings of both sites, and how Django writes the instant with them. */
const sites = [
  { database: testDatabases[0] ?? 'sqlite', useTz: true, timeZone: 'UTC', offset: 0 },
  { database: 'sqlite', useTz: false, timeZone: 'Europe/Berlin', offset: 1 },
] as const

for (const version of djangoVersions) {
  for (const { database, useTz, timeZone, offset } of sites) {
    const zone = useTz ? '' : `, USE_TZ=False in ${timeZone}`
    test(`Django ${version} and ours agree when a session ends, on ${database}${zone}`, async (t) => {
      await takeTurn(t)
      const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
      const { storesIsoExpiry } = versionProfile(version)
      const env = {
        SECRET_KEY: secretKey,
        DATABASE_URL: databaseUrl,
        USE_TZ: String(useTz),
        TIME_ZONE: timeZone,
        SESSION_COOKIE_AGE: String(COOKIE_AGE),
      }
      const python = async <T>(script: string, input: unknown): Promise<T> =>
        JSON.parse(await djangoShell(version, { env, script, input: JSON.stringify(input) }))
      let during: (session: Session) => unknown = () => {}
      const ours = await startKoa(t, {
        ...{ databaseUrl, version, useTz, timeZone, cookieAge: COOKIE_AGE },
        during: (session) => during(session),
      })

      // Django sets the expiry, ours reads and keeps it.
      const instant = new Date(INSTANT.getTime() + offset * 3_600_000).toISOString().slice(0, -1)
      const theirs = await python<Record<string, string>>(CREATE, storesIsoExpiry ? { instant } : {})
      const seen = new Map<string, { age: number; atClose: boolean; date: Date }>()
      const cookies = new Map<string, string>()
      const started = Date.now()
      for (const [name, sessionKey] of Object.entries(theirs)) {
        const visitor = createVisitor()
        visitor.setCookie(sessionKey)
        during = (session) => {
          seen.set(name, {
            age: session.getExpiryAge(),
            atClose: session.getExpireAtBrowserClose(),
            date: session.getExpiryDate(),
          })
        }
        const response = await visitor.fetch(`${ours}/_test/session`, { method: 'POST', body: '{"ours":1}' })
        cookies.set(name, response.headers.get('Set-Cookie') ?? '')
        t.is(visitor.cookie() === sessionKey, name !== 'past', name)
      }

      // Ours sets the expiry, Django reads and keeps it.
      const expiries: Record<string, number | Date | { seconds: number } | null> = {
        ...{ fixed: 300, close: 0, past: -5, none: null },
        ...(storesIsoExpiry && { date: INSTANT, delta: { seconds: THREE_DAYS } }),
      }
      const made: Record<string, string> = {}
      for (const [name, expiry] of Object.entries(expiries)) {
        const visitor = createVisitor()
        during = (session) => session.setExpiry(expiry)
        const response = await visitor.fetch(`${ours}/_test/session`, { method: 'POST', body: '{"ours":1}' })
        made[name] = /sessionid=(\w+)/.exec(response.headers.get('Set-Cookie') ?? '')?.[1] ?? ''
      }
      const read = await python<{ theirs: Read; ours: Read }>(READ, { theirs, ours: made })
      const ended = Date.now()

      const names = ['close', 'fixed', 'none', 'past', ...(storesIsoExpiry ? ['date', 'delta'] : [])]
      t.deepEqual(Object.keys(theirs).toSorted(byText), names.toSorted(byText))
      for (const [who, rows] of Object.entries(read)) {
        for (const name of names) {
          const row = rows[name]
          const label = `${who} ${name}`
          if (name === 'past') {
            t.is(row?.data, null, label)
            continue
          }
          t.like(row?.data, who === 'ours' ? { ours: 1 } : { django: 'Django', ours: 1 }, label)
          t.is(row?.atClose, name === 'close', label)
          const expireDate = (row?.expireDate ?? 0) * 1000
          if (name === 'date') t.is(Math.round(expireDate), INSTANT.getTime(), label)
          else {
            const age = { fixed: 300, close: COOKIE_AGE, none: COOKIE_AGE, delta: THREE_DAYS }[name] ?? 0
            // A timedelta counts from set_expiry, which may be before this test; a tolerance of a minute is enough.
            t.true(expireDate >= started - 60_000 + age * 1000 && expireDate <= ended + age * 1000 + 1, label)
          }
          if (name !== 'date' && name !== 'delta') t.is(row?.age, name === 'fixed' ? 300 : COOKIE_AGE, label)
        }
      }

      t.like(seen.get('fixed'), { age: 300, atClose: false })
      t.like(seen.get('close'), { age: COOKIE_AGE, atClose: true })
      t.like(seen.get('none'), { age: COOKIE_AGE, atClose: false })
      t.deepEqual(seen.get('date')?.date, storesIsoExpiry ? INSTANT : undefined)
      t.regex(cookies.get('fixed') ?? '', /; Max-Age=300;/)
      t.notRegex(cookies.get('close') ?? 'expires', /expires|Max-Age/i)
      t.regex(cookies.get('none') ?? '', new RegExp(`; Max-Age=${COOKIE_AGE};`))
    })
  }
}

type Read = Record<
  string,
  { data: Record<string, unknown> | null; age: number; atClose: boolean; expireDate: number }
>

const CREATE = `
import datetime, json, sys
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
expiries = {'fixed': 300, 'close': 0, 'past': -5, 'none': None}
instant = json.load(sys.stdin).get('instant')
if instant:
    zone = datetime.timezone.utc if settings.USE_TZ else None
    expiries['date'] = datetime.datetime.fromisoformat(instant).replace(tzinfo=zone)
    expiries['delta'] = datetime.timedelta(days=3)
keys = {}
for name, expiry in expiries.items():
    session = SessionStore()
    session['django'] = 'Django'
    session.set_expiry(expiry)
    session.save()
    keys[name] = session.session_key
print(json.dumps(keys))
`

/** Loads and saves each row in Django; prints its content, and whether Django considers it live. */
const READ = `
import json, sys
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
def read(key):
    session = SessionStore(key)
    session.load()
    if session.session_key is None:
        return {'data': None}
    row = Session.objects.get(pk=key).expire_date
    answer = {
        'data': dict(session.items()),
        'age': session.get_expiry_age(),
        'atClose': session.get_expire_at_browser_close(),
        'expireDate': row.timestamp(),
    }
    session['again'] = 1
    session.save()
    return answer
keys = json.load(sys.stdin)
print(json.dumps({who: {name: read(key) for name, key in keys[who].items()} for who in keys}))
`

function byText(one: string, other: string): number {
  return one.localeCompare(other)
}
