import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import express from 'express'
import fastify from 'fastify'
import Knex from 'knex'
import Koa, { type Middleware } from 'koa'
import pg from 'pg'
import { djangoExpress } from '../../src/adapters/express.ts'
import { djangoFastify } from '../../src/adapters/fastify.ts'
import {
  createAuthMiddleware,
  createCsrfMiddleware,
  createMessagesMiddleware,
  createSessionMiddleware,
  djangoAuth,
  djangoSessions,
  openDjangoSite,
  protect,
  readForm,
  versionProfile,
} from '../../src/index.ts'
import { openDb } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'

const db = Knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
test.after.always(() => db.destroy())

const SECRET = 'the secret that no message shows'
const right = { db, secretKeys: [SECRET], djangoVersion: '4.2' }
const profile = versionProfile('4.2')
const sessionCookie = { domain: null, secure: false, httpOnly: true, sameSite: 'Lax' } as const

/** Options as a program without types may give them. */
const wrong: readonly [name: string, options: unknown, message: RegExp][] = [
  ['no options', undefined, /its options must be an object, but is undefined/],
  ['a Knex for options', db, /its options must be an object, but is a function/],
  [
    'no keys',
    { ...right, secretKeys: undefined },
    /secretKeys is undefined; it must be a list of SECRET_KEY/,
  ],
  ['an empty list of keys', { ...right, secretKeys: [] }, /secretKeys is an empty list; it must be a list/],
  ['a text for the keys', { ...right, secretKeys: SECRET }, /secretKeys is a string; it must be a list/],
  ['an empty key', { ...right, secretKeys: [''] }, /secretKeys\[0\] is empty; set it to the SECRET_KEY/],
  ['an empty fallback', { ...right, secretKeys: [SECRET, ''] }, /secretKeys\[1\] is empty/],
  ['an unset key', { ...right, secretKeys: [process.env.NOT_SET] }, /secretKeys\[0\] is undefined; it must/],
  ['a list in the list', { ...right, secretKeys: [[SECRET]] }, /secretKeys\[0\] is a list; it must/],
  ['no version', { ...right, djangoVersion: undefined }, /djangoVersion is undefined; it must be the text/],
  ['an empty version', { ...right, djangoVersion: '' }, /djangoVersion is empty; it must be the text/],
  ['a number for the version', { ...right, djangoVersion: 4.2 }, /djangoVersion is a number; it must/],
  [
    'a connection string for db',
    { ...right, db: 'mysql://a:secret@b/c' },
    /db is a string; it must be a Knex/,
  ],
  ['settings for db', { ...right, db: { client: 'pg' } }, /db is an object; it must be a Knex: knex\(/],
  ['a promise for db', { ...right, db: Promise.resolve(db) }, /db is a promise; await it; it must be a Knex/],
  ['null for db', { ...right, db: null }, /db is null; it must be a Knex/],
  [
    'a Drizzle database for db',
    { ...right, db: { $client: db, query: {} } },
    /is a Drizzle database: pass .* db\.\$client/,
  ],
  [
    'a Prisma client for db',
    { ...right, db: { $queryRawUnsafe: () => {} } },
    /is a Prisma client: pass the Pool of pg that .*PrismaPg was made with; on other databases open one beside it; it must be a Knex/,
  ],
  ['a client of pg for db', { ...right, db: new pg.Client() }, /is a single connection, .*: pass a pool/],
  [
    'a pool of another package for db',
    { ...right, db: { getConnection() {}, query() {} } },
    /is a pool of another package than mysql2/,
  ],
  [
    'a client of postgres.js for db',
    { ...right, db: Object.assign(() => {}, { unsafe() {}, begin() {} }) },
    /is a client of postgres\.js; it must be/,
  ],
  [
    'a name in the singular',
    { ...right, secretKey: SECRET },
    /has no option secretKey; did you mean secretKeys\?/,
  ],
  [
    "Django's name",
    { ...right, SESSION_COOKIE_AGE: 1 },
    /no option SESSION_COOKIE_AGE; did you mean cookieAge\?/,
  ],
  ['an unknown name', { ...right, pool: 1 }, /has no option pool; it takes .*cookieAge, .*useTz/],
  ['a text for USE_TZ', { ...right, useTz: 'False' }, /useTz must be a boolean, but is a string/],
  ['a text for the age', { ...right, cookieAge: '60' }, /cookieAge must be a number, but is a string/],
  ['a name for the cookie', { ...right, cookie: 'sessionid' }, /cookie must be an object, but is a string/],
  ['a list for merge', { ...right, merge: ['add'] }, /merge must be an object, but is a list/],
  [
    'an unknown policy',
    { ...right, merge: { n: 'sum' } },
    /merge\["n"\] must be last, add, union or fail \(in the library, also a function\)/,
  ],
  [
    "a policy for a key of Django's",
    { ...right, merge: { _auth_user_id: 'add' } },
    /merge\["_auth_user_id"\] is a key of Django, whose value cannot be merged; remove it/,
  ],
  [
    'a listener that is not a function',
    { ...right, events: { unreadable: true } },
    /events\.unreadable must be a function, but is a boolean/,
  ],
  [
    'null for a listener',
    { ...right, events: { conflict: null } },
    /events\.conflict must be a function, but is null/,
  ],
  ['a function for events', { ...right, events: () => {} }, /events must be an object, but is a function/],
  [
    'a listener for an unknown event',
    { ...right, events: { conflicts() {} } },
    /has no event conflicts; the events are cacheFailure, conflict, /,
  ],
  [
    'an event by its old name',
    { ...right, onConflict() {} },
    /has no option onConflict; it is now events\.conflict$/,
  ],
  [
    'a hook that is not a function',
    { ...right, onUnverified: true },
    /onUnverified must be a function, but is a boolean/,
  ],
]

for (const [caller, open] of Object.entries({ djangoSessions, djangoAuth, openDjangoSite })) {
  for (const [name, options, message] of wrong) {
    test(`${caller} says what is wrong with ${name}`, (t) => {
      const error = t.throws(() => open(options as typeof right & { secretKeys: [string] }), {
        instanceOf: TypeError,
      })
      t.regex(error?.message ?? '', message)
      t.true(error?.message.startsWith(caller))
      t.false(error?.message.includes('secret@') || error?.message.includes(SECRET))
    })
  }
}

test('an engine without a table needs no database, and an instance of a class is accepted', async (t) => {
  t.notThrows(() =>
    djangoSessions({
      engine: 'django.contrib.sessions.backends.signed_cookies',
      secretKeys: [SECRET],
      djangoVersion: '4.2',
    }),
  )
  const { engine } = await openDb(t, 'sqlite')
  class Own {
    load = engine.load
    exists = engine.exists
    update = engine.update
    delete = engine.delete
    clearExpired = engine.clearExpired
    create(...parameters: Parameters<typeof engine.create>) {
      return engine.create(...parameters)
    }
  }
  const middleware = djangoSessions({ engine: new Own(), secretKeys: [SECRET], djangoVersion: '4.2' })
  const { status, text } = await answer(t, [
    middleware,
    async (ctx) => {
      const session = await ctx.session.load()
      session.set('a', 1)
      await session.save()
      ctx.body = 'saved'
    },
  ])
  t.deepEqual([status, text], [200, 'saved'])
})

/** Parts that were given something else than what they are made for. */
const parts: readonly [name: string, call: () => unknown, message: RegExp][] = [
  [
    'an engine without verbs',
    () => djangoSessions({ ...right, engine: {} } as never),
    /engine has no method load\(\); it must be/,
  ],
  ['no Knex', () => djangoSessions({ ...right, db: undefined } as never), /db|database/],
  [
    'auth alone',
    () => createAuthMiddleware(djangoAuth(right as never) as never),
    /createAuthMiddleware: auth is undefined; it must be what djangoAuth/,
  ],
  [
    'middleware for requests',
    () => createSessionMiddleware({ requests: djangoSessions(right as never) } as never),
    /requests .*; it must be what createSessionRequests returns/,
  ],
  [
    'no profile',
    () => createCsrfMiddleware({} as never),
    /profile is undefined; it must be what versionProfile/,
  ],
  [
    'a version for a profile',
    () => createCsrfMiddleware({ profile: '4.2' } as never),
    /profile is a string; it must be what versionProfile/,
  ],
  [
    'messages without keys',
    () => createMessagesMiddleware({ profile, sessionCookie } as never),
    /createMessagesMiddleware: secretKeys is undefined/,
  ],
  [
    'messages without a profile',
    () => createMessagesMiddleware({ secretKeys: ['a'], sessionCookie } as never),
    /profile is undefined/,
  ],
  [
    'messages without a cookie',
    () => createMessagesMiddleware({ secretKeys: ['a'], profile } as never),
    /sessionCookie must be an object, but is undefined/,
  ],
  [
    'options for Express',
    () => djangoExpress(right as never),
    /djangoExpress: site has no method openRequest\(\); it must be what openDjangoSite/,
  ],
  [
    'no site for Express',
    () => express().use(djangoExpress(undefined as never)),
    /djangoExpress: site is undefined; it must/,
  ],
]

for (const [name, call, message] of parts) {
  test(`a part says what is wrong with ${name}`, (t) => {
    t.throws(call, { instanceOf: TypeError, message })
  })
}

test('djangoFastify without its site fails with a message', async (t) => {
  const app = fastify()
  t.teardown(() => app.close())
  await t.throwsAsync(async () => app.register(djangoFastify, {} as never), {
    instanceOf: TypeError,
    message: /djangoFastify: site is undefined; it must be what openDjangoSite returns/,
  })
})

const auth = djangoAuth(right as never)
const page: Middleware = (ctx) => {
  ctx.body = 'a page'
}

/** Middleware in the wrong order. */
const orders: readonly [name: string, middlewares: () => readonly Middleware[], message: RegExp][] = [
  [
    'auth without sessions',
    () => [createAuthMiddleware({ auth }), page],
    /createAuthMiddleware needs ctx\.session; put app\.use\(djangoSessions/,
  ],
  [
    'protect without CSRF',
    () => [protect, page],
    /protect needs ctx\.csrf; put app\.use\(createCsrfMiddleware/,
  ],
  [
    'messages without sessions',
    () => [messages('fallback'), page],
    /createMessagesMiddleware with the storage fallback needs ctx\.session/,
  ],
  [
    'messages in no session',
    () => [messages('session'), page],
    /with the storage session needs ctx\.session/,
  ],
  [
    'tokens in no session',
    () => [createCsrfMiddleware({ profile, useSessions: true }), page],
    /createCsrfMiddleware with useSessions needs ctx\.session/,
  ],
  [
    'sessions twice',
    () => [djangoSessions(right as never), djangoSessions(right as never), page],
    /ctx\.session is there already: use djangoSessions once/,
  ],
  [
    'sessions of others',
    () => [
      (ctx, next) => {
        Object.assign(ctx, { session: {} })
        return next()
      },
      createAuthMiddleware({ auth }),
      page,
    ],
    /createAuthMiddleware needs ctx\.session/,
  ],
  [
    'a form that was read',
    () => [
      async (ctx) => {
        for await (const chunk of ctx.req) void chunk
        await readForm(ctx)
      },
    ],
    /the form cannot be read, since the body was read already, perhaps by a body parser/,
  ],
]

for (const [name, middlewares, message] of orders) {
  test(`the first request reports ${name}`, async (t) => {
    const { status, error } = await answer(t, middlewares())
    t.is(status, 500)
    t.true(error instanceof TypeError)
    t.regex(error?.message ?? '', message)
  })
}

test('messages in the cookie alone need no sessions', async (t) => {
  t.is((await answer(t, [messages('cookie'), page])).status, 200)
})

test('site.authenticate takes requests, headers and Cookie texts, and refuses everything else with a message', async (t) => {
  const { db: sqlite, engine } = await openDb(t, 'sqlite', { tables: 'library' })
  const site = openDjangoSite({ ...right, db: sqlite, secretKeys: [SECRET] })
  const session = await site.requests.open(undefined).session.load()
  session.set('a', 'held')
  await session.save()
  t.true(await engine.exists(session.sessionKey ?? ''))
  const cookie = `sessionid=${session.sessionKey}`
  const request = new Request('http://localhost/', { headers: { cookie } })
  for (const given of [
    cookie,
    { headers: { cookie } },
    request,
    request.headers,
    { headers: request.headers },
  ])
    t.is((await site.authenticate(given)).session.get('a'), 'held')
  for (const given of [undefined, null, '', { headers: {} }, new Request('http://localhost/'), new Headers()])
    t.is((await site.authenticate(given)).session.get('a'), undefined)
  for (const given of [
    {},
    { cookie },
    [],
    [cookie],
    1,
    true,
    () => {},
    { headers: undefined },
    { headers: null },
    new Map([['cookie', cookie]]),
    { headers: new Map([['cookie', cookie]]) },
    new URLSearchParams({ cookie }),
    { headers: new URLSearchParams({ cookie }) },
    { get: () => cookie, getAll: () => [{ name: 'sessionid', value: session.sessionKey }] }, // cookies() of Next.js
    { get: () => undefined, req: request, res: undefined }, // the context of Hono
  ]) {
    await t.throwsAsync(site.authenticate(given as never), {
      instanceOf: TypeError,
      message: /^site\.authenticate takes a request with headers .*and was given something else$/,
    })
  }
  for (const headers of [{ cookie: [cookie] }, { cookie: 1 }, [], 'sessionid=a'])
    await t.throwsAsync(site.authenticate({ headers } as never), { instanceOf: TypeError })
})

function messages(storage: 'fallback' | 'session' | 'cookie'): Middleware {
  return createMessagesMiddleware({ profile, secretKeys: ['a'], sessionCookie, storage })
}

/** What a site of these answers, and the error that it tells its developer. */
async function answer(
  t: Scope,
  middlewares: readonly Middleware[],
): Promise<{ status: number; text: string; error: Error | undefined }> {
  const app = new Koa()
  let error: Error | undefined
  app.on('error', (one: Error) => {
    error = one
  })
  for (const middleware of middlewares) app.use(middleware)
  const server = app.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams({ a: '1' }) })
  return { status: response.status, text: await response.text(), error }
}
