/** Vulnerabilities and bugs of other session software that this package does not have. Each source is named. */
import { createHash } from 'node:crypto'
import test from 'ava'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { createSessions } from '../src/session/handle.ts'
import { keyIn, serve } from './adapters/koa/session-site.ts'
import { connect, type DbUnderTest, openDb, secretKey } from './engines/db-under-test.ts'
import { send } from './hostile/site.ts'
import { rules } from './session/conformance/engine-under-test.ts'
import { createTestDatabase, runSql, testDatabases } from './support/databases.ts'
import { startService } from './support/service.ts'

const KEY = 'abcdefghijklmnopqrstuvwxyz012345'
const LATER = '2999-01-01 00:00:00'

const row = ({ codec }: Pick<DbUnderTest, 'codec'>, session_key: string, owner: string) => ({
  session_key,
  session_data: codec.encode(new Map([['owner', JSON.stringify(owner)]])),
  expire_date: LATER,
})

for (const database of testDatabases) {
  // CVE-2015-3982, GHSA-6wgp-fwfm-mxp3: the flush of Django 1.8's cached_db set the key to '' instead of None. The empty
  // key went into the cookie and was taken for a valid one, so all who had logged out shared one session.
  test(`${database}: an empty session key belongs to no session, also after a flush`, async (t) => {
    const site = await openDb(t, database)
    const bait = row(site, '', 'everybody')
    await site.insert(bait)
    const flush = await serve(t, site, async (ctx) => {
      const session = await ctx.session.load()
      session.set('owner', 'me')
      await session.save()
      await session.flush()
      return session.sessionKey
    })
    const show = await serve(t, site, async (ctx) => (await ctx.session.load()).get('owner', 'nobody'))
    const claim = await serve(t, site, async (ctx) => {
      const session = await ctx.session.load()
      session.set('owner', 'me')
    })

    await site.insert(row(site, KEY, 'me before'))
    const flushed = await flush(`sessionid=${KEY}`)
    t.is(flushed.body, 'null')
    t.is(keyIn(flushed), '')
    for (const cookie of ['sessionid=', 'sessionid=""', 'sessionid', 'sessionid="\\"\\""']) {
      t.is((await show(cookie)).body, '"nobody"', cookie)
      t.regex(keyIn(await claim(cookie)) ?? '', /^[a-z0-9]{32}$/, cookie)
    }
    t.is((await site.rows()).find(({ session_key }) => session_key === '')?.session_data, bait.session_data)
  })

  // CVE-2015-5143, GHSA-pgxh-wfw4-jx2v: before 1.8.3, loading a session under a key that was not there stored an empty
  // one. A client with a new key in each request filled the table.
  test(`${database}: a missing or expired key creates no row`, async (t) => {
    const site = await openDb(t, database)
    const expired = { ...row(site, KEY, 'me'), expire_date: '2001-01-01 00:00:00' }
    await site.insert(expired)
    const before = await site.rows()
    const look = await serve(t, site, async (ctx) => {
      const session = await ctx.session.load()
      return [session.get('owner', 'nobody'), session.has('cart'), [...session.keys()]]
    })
    for (const key of [KEY, ...Array.from({ length: 50 }, () => newSessionKey())]) {
      const answer = await look(`sessionid=${key}`)
      t.is(answer.body, '["nobody",false,[]]')
      t.is(keyIn(answer), '')
    }
    t.deepEqual(await site.rows(), before)
  })

  // tower-sessions 0.12.1: `create` was `save` unless a store overrode it, and `cycle_id` called `save` even then. A new
  // session whose id was in use replaced that session, or became it.
  test(`${database}: a new session never takes a key in use`, async (t) => {
    const site = await openDb(t, database)
    await site.insert(row(site, KEY, 'somebody'))
    await site.insert(row(site, 'expired'.padEnd(32, 'x'), 'somebody else'))
    const [taken] = await site.rows()
    const offered = [KEY, 'expired'.padEnd(32, 'x'), 'first'.padEnd(32, 'x'), KEY, 'second'.padEnd(32, 'x')]
    const sessions = createSessions({
      engine: site.engine,
      rules,
      now: () => site.clock.now,
      newSessionKey: () => offered.shift() ?? '',
    })
    const session = await sessions.open(undefined).load()
    session.set('owner', 'me')
    await session.save()
    t.is(session.sessionKey, 'first'.padEnd(32, 'x'))
    await session.cycleKey()
    await session.save()
    t.is(session.sessionKey, 'second'.padEnd(32, 'x'))
    t.deepEqual(offered, [])
    const rows = await site.rows()
    t.deepEqual(
      rows.map(({ session_key }) => session_key),
      [KEY, 'expired'.padEnd(32, 'x'), 'second'.padEnd(32, 'x')],
    )
    t.deepEqual(
      rows.find(({ session_key }) => session_key === KEY),
      taken,
    )
    t.is((await sessions.open(KEY).load()).get('owner'), 'somebody')
  })

  // fastify/session#240 and #348: `regenerate` stored a new session and never removed the old one. An attacker who knew the old
  // id, or had planted it, was still in after the login.
  test(`${database}: the old key opens nothing after cycleKey or flush`, async (t) => {
    const site = await openDb(t, database)
    for (const renew of ['cycleKey', 'flush'] as const) {
      const key = renew.padEnd(32, 'x')
      await site.insert(row(site, key, 'before the login'))
      const login = await serve(t, site, async (ctx) => {
        const session = await ctx.session.load()
        await session[renew]()
        session.set('owner', 'logged in')
      })
      const show = await serve(t, site, async (ctx) => (await ctx.session.load()).get('owner', 'nobody'))
      const fresh = keyIn(await login(`sessionid=${key}`))
      t.not(fresh, key)
      t.is((await show(`sessionid=${fresh}`)).body, '"logged in"')
      t.is((await show(`sessionid=${key}`)).body, '"nobody"')
      t.false(await site.engine.exists(key))
    }
  })
  // django-user-sessions#64: the admin listed session keys, and anyone who could read the list could act as those users.
  // In this service, people read logs, metrics and error pages.
  test(`${database}: logs, metrics and pages show no session key and no session data`, async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
    const db = connect(databaseUrl)
    t.teardown(() => db.destroy())
    const profile = versionProfile('5.2')
    const codec = createSessionCodec({ secretKeys: [secretKey], profile, now: () => new Date() })
    const live = row({ codec }, KEY, 'Confidential Person')
    const unreadable = {
      ...live,
      session_key: 'unreadable'.padEnd(32, 'x'),
      session_data: `${live.session_data}0`,
    }
    const expired = { ...live, session_key: 'expired'.padEnd(32, 'x'), expire_date: '2001-01-01 00:00:00' }
    await db('django_session').insert([live, unreadable, expired])
    const service = await startService(t, {
      env: {
        DATABASE_URL: databaseUrl,
        DJANGO_SECRET_KEY: secretKey,
        DJANGO_VERSION: '5.2',
        USE_TZ: 'true',
        LOG_LEVEL: 'trace',
      },
    })
    const metrics = await service.next('metrics.listening')
    const sent = [live, unreadable, unreadable, expired].map(({ session_key }) => session_key)
    const keys = new Set(sent)
    const pages: string[] = []
    const visit = async (key: string) => {
      const response = await fetch(`${service.url}/catalog/?next=/`, {
        headers: { Cookie: `sessionid=${key}` },
      })
      const given = /^sessionid=([a-z0-9]+);/.exec(response.headers.get('Set-Cookie') ?? '')?.[1]
      if (given !== undefined) keys.add(given)
      pages.push(await response.text())
      return response.status
    }
    for (const key of [...sent, newSessionKey(), "' OR 1=1 -- "]) t.is(await visit(key), 200)
    const misdirected = `GET / HTTP/1.1\r\nHost: elsewhere.example\r\nCookie: sessionid=${KEY}\r\nConnection: close\r\n\r\n`
    const { status, text } = await send(service.url, misdirected)
    t.is(status, 400)
    pages.push(text)
    // The drivers quote the statement and its values in their errors.
    await runSql(databaseUrl, 'ALTER TABLE django_session RENAME COLUMN session_data TO gone')
    t.is(await visit(KEY), 500)
    pages.push(await (await fetch(new URL('/metrics', String(metrics.url)))).text())
    await service.stop()

    const output = service.stdout() + service.stderr()
    const read = output + pages.join('')
    for (const key of keys) {
      t.false(read.includes(key))
      // Nor a hash that could be compared with hashes of keys.
      for (const algorithm of ['md5', 'sha1', 'sha256']) {
        for (const encoding of ['hex', 'base64'] as const) {
          const hash = createHash(algorithm).update(key).digest(encoding)
          t.false(read.includes(hash.slice(0, 8)))
        }
      }
    }
    for (const secret of [secretKey, 'Confidential', live.session_data.slice(0, 20)])
      t.false(read.includes(secret))
    t.true(output.includes('"event":"http.failure"'))
    const hashes = service
      .log()
      .flatMap(({ event, keyHash }) => (event === 'session.unreadable' ? [String(keyHash)] : []))
    t.is(hashes.length, 2)
    t.is(new Set(hashes).size, 1)
    t.regex(hashes[0] ?? '', /^[0-9a-f]{8,16}$/)
  })
}
