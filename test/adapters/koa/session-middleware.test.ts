import { setImmediate } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type DbUnderTest, type SiteOptions as DjangoSite, openDb } from '../../engines/db-under-test.ts'
import { testDatabases } from '../../support/databases.ts'
import { type Answer, type Handler, keyIn, type SiteOptions, serve } from './session-site.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'
const COOKIE = `sessionid=${KEY}`
const DELETION = 'sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax'

/** A site with one session, `{ a: 1 }` under KEY, and what it answers to that session's browser. */
async function visit(
  t: ExecutionContext,
  handler: Handler,
  { cookie = COOKIE, site, ...options }: SiteOptions & { cookie?: string; site?: DbUnderTest } = {},
): Promise<Answer & { rows: Record<string, Record<string, string>> }> {
  const opened = site ?? (await openSite(t))
  const answer = await (await serve(t, opened, handler, options))(cookie)
  const rows = (await opened.rows()).map(({ session_key, session_data }) => [
    session_key,
    session_data.startsWith('unreadable')
      ? { unreadable: session_data }
      : Object.fromEntries(opened.codec.decode(session_data).data),
  ])
  return { ...answer, rows: Object.fromEntries(rows) }
}

async function openSite(t: ExecutionContext, options?: DjangoSite): Promise<DbUnderTest> {
  const site = await openDb(t, 'sqlite', options)
  site.clock.now = new Date('2026-11-23T08:25:12.345Z')
  await site.engine.create(KEY, { data: new Map([['a', '1']]), expireDate: new Date('2026-12-01T00:00:00Z') })
  return site
}

/** As `openSite`, but the row does not verify. */
async function openUnreadable(t: ExecutionContext): Promise<DbUnderTest> {
  const site = await openSite(t)
  await site.db('django_session').update({ session_data: 'unreadable' })
  return site
}

const setB: Handler = async (ctx) => (await ctx.session.load()).set('b', 2)

for (const hasErrorPages of [true, false]) {
  const where = hasErrorPages ? 'with error pages inside' : 'in a bare Koa app'

  test(`a 404 that is thrown saves the session and sets its cookie, ${where}`, async (t) => {
    const handler: Handler = async (ctx) => {
      await setB(ctx)
      ctx.throw(404)
    }
    const answer = await visit(t, handler, { hasErrorPages })
    t.is(answer.status, 404)
    t.is(keyIn(answer), KEY)
    t.is(answer.setCookie.length, 1)
    t.is(answer.vary, 'Cookie')
    t.deepEqual(answer.rows, { [KEY]: { a: '1', b: '2' } })
  })

  test(`an exception saves nothing and sets no cookie, but the answer varies on it, ${where}`, async (t) => {
    const handler: Handler = async (ctx) => {
      await setB(ctx)
      throw new Error('in the view')
    }
    const answer = await visit(t, handler, { hasErrorPages })
    t.like(answer, { status: 500, setCookie: [], vary: 'Cookie', rows: { [KEY]: { a: '1' } } })
    t.deepEqual(answer.rows, { [KEY]: { a: '1' } })
  })

  for (const [djangoVersion, saves] of [
    ['2.2', true],
    ['4.1', true],
    ['4.2', false],
    ['6.1', false],
  ] as const) {
    test(`a 503 that is thrown ${saves ? 'saves' : 'does not save'} as in Django ${djangoVersion}, ${where}`, async (t) => {
      const site = await openSite(t, { djangoVersion })
      const handler: Handler = async (ctx) => {
        await setB(ctx)
        ctx.throw(503)
      }
      const answer = await visit(t, handler, { hasErrorPages, site })
      t.is(answer.status, 503)
      t.is(keyIn(answer), saves ? KEY : undefined)
      t.deepEqual(answer.rows, { [KEY]: saves ? { a: '1', b: '2' } : { a: '1' } })
    })
  }

  test(`a flush before an exception has logged out: row and cookie are gone, ${where}`, async (t) => {
    const handler: Handler = async (ctx) => {
      const session = await ctx.session.load()
      void session.flush()
      throw new Error('in the view')
    }
    const answer = await visit(t, handler, { hasErrorPages })
    t.deepEqual(answer.setCookie, [DELETION])
    t.like(answer, { status: 500, vary: 'Cookie' })
    t.deepEqual(answer.rows, {})
  })

  test(`a session deleted meanwhile ends the request without a cookie, ${where}`, async (t) => {
    for (const savesItself of [false, true]) {
      const site = await openSite(t)
      const handler: Handler = async (ctx) => {
        const session = await ctx.session.load()
        session.set('b', 2)
        await site.engine.delete(KEY)
        if (savesItself) await session.save()
      }
      const answer = await visit(t, handler, { hasErrorPages, site })
      t.is(answer.status, 400)
      t.deepEqual(answer.setCookie, [])
      t.deepEqual(answer.rows, {})
    }
  })

  test(`a save that fails is an error and not a 200, ${where}`, async (t) => {
    const site = await openSite(t)
    const handler: Handler = async (ctx) => {
      await setB(ctx)
      await site.db.schema.dropTable('django_session')
    }
    const { status, setCookie } = await (await serve(t, site, handler, { hasErrorPages }))(COOKIE)
    t.is(status, 500)
    t.deepEqual(setCookie, [])
  })

  test(`a flush that fails is an error, and the visitor keeps the cookie to try again, ${where}`, async (t) => {
    const site = await openSite(t)
    for (const awaits of [false, true]) {
      const handler: Handler = async (ctx) => {
        const session = await ctx.session.load()
        await site.db.schema.renameTable('django_session', 'elsewhere')
        const flushed = session.flush()
        if (awaits) await flushed
      }
      const { status, setCookie } = await (await serve(t, site, handler, { hasErrorPages }))(COOKIE)
      await site.db.schema.renameTable('elsewhere', 'django_session')
      t.is(status, 500)
      t.deepEqual(setCookie, [])
    }
  })
}

test('an error that passes through keeps its own headers, and shows no cookie to a log', async (t) => {
  const seen: unknown[] = []
  const handler: Handler = async (ctx) => {
    await setB(ctx)
    ctx.throw(401, 'who are you?', { headers: { 'WWW-Authenticate': 'Basic' } })
  }
  const site = await openSite(t)
  const answer = await visit(t, handler, { site, hasErrorPages: false, onError: (error) => seen.push(error) })
  t.is(answer.status, 401)
  t.is(keyIn(answer), KEY)
  t.is(seen.length, 1)
  t.is(String(Reflect.get(Object(seen[0]), 'headers')['WWW-Authenticate']), 'Basic')
  t.false(JSON.stringify(Object.entries(Object(seen[0]))).includes(KEY))
})

test('the error of the handler is reported, even if a flush has failed, too', async (t) => {
  const told: unknown[] = []
  const site = await openSite(t)
  const handler: Handler = async (ctx) => {
    const session = await ctx.session.load()
    await site.db.schema.dropTable('django_session')
    void session.flush()
    throw new Error('in the view')
  }
  const onError = (error: unknown) => told.push(error)
  const { status } = await (await serve(t, site, handler, { hasErrorPages: false, onError }))(COOKIE)
  t.is(status, 500)
  t.deepEqual(
    told.map((error) => (error instanceof Error ? error.message : error)),
    ['in the view'],
  )
})

test('a thrown value that is not an error is a 500', async (t) => {
  const answer = await visit(
    t,
    () => {
      throw 'text'
    },
    { hasErrorPages: false },
  )
  t.like(answer, { status: 500, setCookie: [] })
})

// Source: SessionMiddlewareTests, test_flush_empty_without_session_cookie_doesnt_set_cookie and test_empty_session_saved.
test('a visitor without a session who is logged out gets no cookie, but a Vary', async (t) => {
  const site = await openDb(t, 'sqlite')
  const flush: Handler = async (ctx) => (await ctx.session.load()).flush()
  const emptied: Handler = async (ctx) => {
    const session = await ctx.session.load()
    session.set('foo', 'bar')
    session.delete('foo')
  }
  for (const handler of [flush, emptied]) {
    const answer = await (await serve(t, site, handler))()
    t.like(answer, { status: 200, setCookie: [], vary: 'Cookie' })
    t.deepEqual(await site.rows(), [])
  }
})

test('a session whose last value is deleted is kept, and its cookie sent again', async (t) => {
  const handler: Handler = async (ctx) => (await ctx.session.load()).delete('a')
  const answer = await visit(t, handler)
  t.is(answer.setCookie.length, 1)
  t.is(keyIn(answer), KEY)
  t.is(answer.vary, 'Cookie')
  t.deepEqual(answer.rows, { [KEY]: {} })
})

test('the cookies that a handler sets stay beside the session cookie', async (t) => {
  const handler: Handler = async (ctx) => {
    ctx.append('Set-Cookie', 'theme=dark')
    await setB(ctx)
  }
  const { setCookie } = await visit(t, handler)
  t.is(setCookie.length, 2)
  t.is(setCookie[0], 'theme=dark')
})

test('the cookies and the Vary that a handler sets are sent with an error that Koa answers', async (t) => {
  const handler: Handler = async (ctx) => {
    ctx.append('Set-Cookie', 'theme=dark')
    ctx.vary('Accept')
    await setB(ctx)
    ctx.throw(404)
  }
  const { status, setCookie, vary } = await visit(t, handler, { hasErrorPages: false })
  t.is(status, 404)
  t.deepEqual(
    setCookie.map((one) => one.split('=')[0]),
    ['theme', 'sessionid'],
  )
  t.is(vary, 'Accept, Cookie')
})

test('Vary headers that a handler sets one by one are kept', async (t) => {
  const handler: Handler = async (ctx) => {
    ctx.set('Vary', ['Accept', 'Origin'])
    await ctx.session.load()
  }
  t.is((await visit(t, handler)).vary, 'Accept, Origin, Cookie')
})

test('a request that does not use its session makes no statement', async (t) => {
  const site = await openSite(t)
  const request = await serve(t, site, (ctx) => [ctx.session.sessionKey, ctx.session.isEmpty])
  const statements: string[] = []
  site.db.on('query', ({ sql }: { sql: string }) => statements.push(sql))
  t.deepEqual(await request(COOKIE), { status: 200, setCookie: [], vary: null, body: `["${KEY}",false]` })
  t.deepEqual(statements, [])
})

// Unlike Django, whose session loads by itself when it is first read.
test('loading the session counts as using it', async (t) => {
  const { vary, setCookie } = await visit(t, async (ctx) => void (await ctx.session.load()))
  t.is(vary, 'Cookie')
  t.deepEqual(setCookie, [])
})

test('a session that was saved in the handler gets its cookie, and no second write', async (t) => {
  const site = await openSite(t)
  const handler: Handler = async (ctx) => {
    const session = await ctx.session.load()
    const computed = session.compute('n', (old) => Number(old ?? 0) + 1)
    await session.save()
    return [computed, session.get('n'), session.sessionKey]
  }
  const request = await serve(t, site, handler)
  const statements: string[] = []
  site.db.on('query', ({ sql }: { sql: string }) => statements.push(sql.split(' ')[0] ?? ''))
  const known = await request(COOKIE)
  t.is(known.body, `[1,1,"${KEY}"]`)
  t.is(keyIn(known), KEY)
  t.deepEqual(statements.splice(0), ['select', 'update'])
  const fresh = await request()
  t.is(fresh.body, `[1,1,"${keyIn(fresh)}"]`)
  t.deepEqual(statements.splice(0), ['insert'])
})

for (const name of testDatabases) {
  test(`a save at the end of the page adds no statement; a save before more work adds a check of the key, on ${name}`, async (t) => {
    const site = await openDb(t, name)
    const expireDate = new Date(Date.now() + 3_600_000)
    await site.engine.create(KEY, { data: new Map([['a', '1']]), expireDate })
    let goOn = async () => {}
    const handler: Handler = async (ctx) => {
      const session = await ctx.session.load()
      session.compute('n', (old) => Number(old ?? 0) + 1)
      await session.save()
      await goOn()
    }
    const request = await serve(t, site, handler)
    await request(COOKIE) // opens the connections
    const statements: string[] = []
    site.db.on('query', ({ sql }: { sql: string }) => statements.push(sql.split(' ')[0]?.toLowerCase() ?? ''))
    await request(COOKIE)
    t.deepEqual(statements.splice(0), ['select', 'update'])
    goOn = () => setImmediate()
    const { status, setCookie } = await request(COOKIE)
    t.like({ status, cookies: setCookie.length }, { status: 200, cookies: 1 })
    t.deepEqual(statements, ['select', 'update', 'select'])
  })
}

test('a session deleted after the page has saved it ends the request without a cookie', async (t) => {
  for (const write of ['save', 'cycleKey'] as const) {
    const site = await openSite(t)
    const handler: Handler = async (ctx) => {
      const session = await ctx.session.load()
      session.set('b', 2)
      await session[write]()
      await site.db('django_session').delete()
      await setImmediate() // SQLite answers in the same turn of the event loop, in which no other request can run
    }
    const answer = await visit(t, handler, { site })
    t.like(answer, { status: 400, setCookie: [] })
    t.deepEqual(answer.rows, {})
  }
})

test('a change inside an object is saved after modified = true', async (t) => {
  const site = await openSite(t)
  await site.engine.delete(KEY)
  const data = new Map([['cart', '{"items":[]}']])
  await site.engine.create(KEY, { data, expireDate: new Date('2026-12-01T00:00:00Z') })
  const lost: string[][] = []
  const settings = { events: { lostChange: (keys: readonly string[]) => void lost.push([...keys]) } }
  const change =
    (isMarked: boolean): Handler =>
    async (ctx) => {
      const session = await ctx.session.load<{ cart: { items: number[] } }>()
      session.get('cart')?.items.push(1)
      if (isMarked) session.modified = true
    }
  const unmarked = await visit(t, change(false), { site, settings })
  t.deepEqual(unmarked.rows, { [KEY]: { cart: '{"items":[]}' } })
  t.deepEqual(unmarked.setCookie, [])
  t.deepEqual(lost.splice(0), [['cart']], 'and without it, the loss is told')
  const marked = await visit(t, change(true), { site, settings })
  t.deepEqual(marked.rows, { [KEY]: { cart: '{"items":[1]}' } })
  t.is(keyIn(marked), KEY)
  await visit(t, change(false), { site, settings: { ...settings, saveEveryRequest: true } })
  t.deepEqual(lost, [], 'nothing was lost')
})

test('a lost change that JSON cannot hold is reported and does no harm', async (t) => {
  const lost: (readonly string[])[] = []
  const settings = { events: { lostChange: (keys: readonly string[]) => lost.push(keys) } }
  const site = await openSite(t)
  await site.db('django_session').update({ session_data: site.codec.encode(new Map([['cart', '{}']])) })
  const handler: Handler = async (ctx) => {
    const session = await ctx.session.load<{ cart: { when?: Date } }>()
    Object.assign(session.get('cart') ?? {}, { when: new Date() })
  }
  t.is((await visit(t, handler, { site, settings })).status, 200)
  t.deepEqual(lost, [['cart']])
})

test('the cookie expires with the session that is stored at the end', async (t) => {
  const site = await openSite(t)
  const other = await serve(t, site, async (ctx) => (await ctx.session.load()).setExpiry(60))
  const handler: Handler = async (ctx) => {
    await setB(ctx)
    await other(COOKIE)
  }
  const { setCookie } = await visit(t, handler, { site })
  t.deepEqual(setCookie, [
    `${COOKIE}; expires=Mon, 23 Nov 2026 08:26:12 GMT; HttpOnly; Max-Age=60; Path=/; SameSite=Lax`,
  ])
})

test('a row that cannot be read is reported, and the visitor gets a new session with a new key', async (t) => {
  const told: string[] = []
  const answer = await visit(t, setB, {
    site: await openUnreadable(t),
    settings: { events: { unreadable: (key, { reason }) => told.push(`${key} ${reason}`) } },
  })
  const key = keyIn(answer) ?? ''
  t.regex(key, /^[a-z0-9]{32}$/)
  t.not(key, KEY)
  t.deepEqual(answer.rows, { [KEY]: { unreadable: 'unreadable' }, [key]: { b: '2' } })
  t.deepEqual(told, [`${KEY} format`])
})

for (const [use, handler] of [
  ['reads', async (ctx) => (await ctx.session.load()).get('a')],
  ['does not touch', () => null],
] as [string, Handler][]) {
  for (const saveEveryRequest of [false, true]) {
    const rule = saveEveryRequest ? ', though every request saves' : ''
    test(`a handler that ${use} an unreadable session leaves row and cookie alone${rule}`, async (t) => {
      const site = await openUnreadable(t)
      const answer = await visit(t, handler, { site, settings: { saveEveryRequest } })
      t.is(answer.status, 200)
      t.deepEqual(answer.setCookie, [])
      t.deepEqual(answer.rows, { [KEY]: { unreadable: 'unreadable' } })
    })
  }
}

test('flushing an unreadable session deletes the cookie; the row stays', async (t) => {
  const handler: Handler = async (ctx) => void (await ctx.session.load()).flush()
  const answer = await visit(t, handler, { site: await openUnreadable(t) })
  t.deepEqual(answer.setCookie, [DELETION])
  t.deepEqual(answer.rows, { [KEY]: { unreadable: 'unreadable' } })
})

test('simultaneous requests of one browser lose nothing', async (t) => {
  const site = await openSite(t)
  let number = 0
  const request = await serve(t, site, async (ctx) => {
    number += 1
    const session = await ctx.session.load()
    session.set(`key${number}`, number)
    return session.compute('n', (old) => Number(old ?? 0) + 1)
  })
  const answers = await Promise.all(Array.from({ length: 20 }, () => request(COOKIE)))
  t.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  const stored = (await site.engine.load(KEY))?.data
  t.is(stored?.get('n'), '20')
  t.is(stored?.size, 22)
})
