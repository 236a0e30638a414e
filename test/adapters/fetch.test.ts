import test, { type ExecutionContext } from 'ava'
import { HTTPException } from 'hono/http-exception'
import type { FetchHandler, FetchSite, FetchSiteOptions } from '../../src/adapters/fetch.ts'
import { openDjangoSite } from '../../src/adapters/fetch.ts'
import { type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'

interface Opened {
  readonly db: DbUnderTest
  readonly site: FetchSite
  readonly ask: (handler: FetchHandler, init?: RequestInit, url?: string) => Promise<Response>
}

async function open(t: ExecutionContext, options: Partial<FetchSiteOptions> = {}): Promise<Opened> {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  const site = openDjangoSite({
    db: db.db,
    secretKeys: [secretKey],
    djangoVersion: '5.2',
    now: () => db.clock.now,
    ...options,
  })
  const ask: Opened['ask'] = (handler, init, url = 'http://localhost:3000/') =>
    site.handle(new Request(url, init), handler)
  return { db, site, ask }
}

const visit: FetchHandler = async ({ session }) => {
  const loaded = await session.load()
  return Response.json(loaded.compute('num_visits', (old) => (typeof old === 'number' ? old + 1 : 1)))
}

const cookieOf = (response: Response): string =>
  response.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ')

test('the session is saved before the response leaves, and its cookie is on it', async (t) => {
  const { db, ask } = await open(t)
  const first = await ask(visit)
  t.is(await db.count(), 1)
  t.regex(
    first.headers.getSetCookie()[0] ?? '',
    /^sessionid=\w{32}; expires=.*; HttpOnly; Max-Age=1209600; Path=\/; SameSite=Lax$/,
  )
  t.is(first.headers.get('Vary'), 'Cookie')
  const second = await ask(visit, { headers: { Cookie: cookieOf(first) } })
  t.is(await second.json(), 2)
})

test('cookies are appended, never joined, and those of the handler stay', async (t) => {
  const { ask } = await open(t)
  const response = await ask(async (django) => {
    const page = await visit(django)
    page.headers.append('Set-Cookie', 'theme=dark')
    page.headers.set('Vary', 'Accept')
    django.csrf.getToken()
    return page
  })
  t.deepEqual(
    response.headers.getSetCookie().map((one) => one.split('=')[0]),
    ['theme', 'csrftoken', 'sessionid'],
  )
  t.is(response.headers.get('Vary'), 'Accept, Cookie')
})

for (const status of [301, 302, 303, 307])
  test(`a redirect, whose headers cannot be changed, gets the cookie: ${status}`, async (t) => {
    const { ask } = await open(t)
    const response = await ask(async (django) => {
      await visit(django)
      return Response.redirect('http://localhost:3000/next', status)
    })
    t.is(response.status, status)
    t.is(response.headers.get('Location'), 'http://localhost:3000/next')
    t.regex(cookieOf(response), /^sessionid=\w{32}$/)
  })

test('a Response that is thrown is saved like one that is returned, and thrown', async (t) => {
  const { db, ask } = await open(t)
  const thrown = await t.throwsAsync(
    ask(async (django) => {
      await visit(django)
      throw Response.redirect('http://localhost:3000/login', 302)
    }).catch((response: Response) => {
      throw Object.assign(new Error('thrown'), { response })
    }),
  )
  const { response } = thrown as Error & { response: Response }
  t.is(response.status, 302)
  t.regex(cookieOf(response), /^sessionid=/)
  t.is(await db.count(), 1)
})

test('an exception of Hono that holds a response is that response, with the cookie', async (t) => {
  const { ask } = await open(t)
  const response = await ask(async (django) => {
    await visit(django)
    throw new HTTPException(404, { message: 'no such book' })
  })
  t.is(response.status, 404)
  t.is(await response.text(), 'no such book')
  t.regex(cookieOf(response), /^sessionid=/)
})

/** As next/navigation throws. */
const nextError = (digest: string) => Object.assign(new Error(digest.split(';')[0]), { digest })

for (const [name, thrown, status, location] of [
  ['redirect() of Next.js', nextError('NEXT_REDIRECT;replace;/books;id=1;307;'), 307, '/books;id=1'],
  ['permanentRedirect() of Next.js', nextError('NEXT_REDIRECT;replace;/books;308;'), 308, '/books'],
  ['notFound() of Next.js', nextError('NEXT_HTTP_ERROR_FALLBACK;404'), 404, null],
  ['forbidden() of Next.js', nextError('NEXT_HTTP_ERROR_FALLBACK;403'), 403, null],
  ['redirect() of SvelteKit', { status: 303, location: '/books' }, 303, '/books'],
] as const)
  test(`what ${name} throws is the response that it stands for, with the cookie`, async (t) => {
    const { db, ask } = await open(t)
    const response = await ask(async (django) => {
      await visit(django)
      throw thrown
    })
    t.is(response.status, status)
    t.is(response.headers.get('Location'), location)
    t.regex(cookieOf(response), /^sessionid=\w{32}$/)
    t.is(await db.count(), 1)
  })

for (const thrown of [
  nextError('DYNAMIC_SERVER_USAGE'),
  nextError('NEXT_REDIRECT;replace;/books'),
  nextError('NEXT_HTTP_ERROR_FALLBACK;200'),
  Object.assign(new Error('a bug'), { status: 303, location: '/books' }),
])
  test(`another error is thrown, though it looks like a redirect: ${JSON.stringify(thrown)}`, async (t) => {
    const { db, ask } = await open(t)
    const failed = ask(async (django) => {
      await visit(django)
      throw thrown
    })
    t.is(await t.throwsAsync(failed), thrown)
    t.is(await db.count(), 0)
  })

test('what error() of SvelteKit throws is thrown on, and nothing is saved, since no cookie could be set', async (t) => {
  const { db, ask } = await open(t)
  const thrown = { status: 404, body: { message: 'no such book' } }
  const failed = ask(async (django) => {
    await visit(django)
    throw thrown
  })
  t.is(await failed.catch((error) => error), thrown as never)
  t.is(await db.count(), 0)
})

test('a response streams: it leaves before its end, with the session saved', async (t) => {
  const { db, ask } = await open(t)
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const response = await ask(async (django) => {
    await visit(django)
    return new Response(readable)
  })
  t.is(await db.count(), 1)
  t.regex(cookieOf(response), /^sessionid=/)
  const text = response.text()
  await writer.write(new TextEncoder().encode('later '))
  await writer.write(new TextEncoder().encode('on'))
  await writer.close()
  t.is(await text, 'later on')
})

test('a request that is aborted while its handler runs still saves what the handler changed', async (t) => {
  const { db, site } = await open(t)
  const abort = new AbortController()
  await site.handle(new Request('http://localhost/', { signal: abort.signal }), async (django) => {
    abort.abort()
    return visit(django)
  })
  t.is(await db.count(), 1)
})

test('a save that fails is never a 200: it is a 500 without a cookie', async (t) => {
  const { db, ask } = await open(t)
  await t.throwsAsync(
    ask(async (django) => {
      const page = await visit(django)
      await db.db.schema.dropTable('django_session')
      return page
    }),
    { code: 'ERR_STORAGE_FAILURE' },
  )
})

for (const status of [undefined, 204, 302, 404, 503])
  test(`a save that fails is never a 200, though onError answers with the status ${status}`, async (t) => {
    const { db, ask } = await open(t, {
      onError: (error) =>
        new Response(status === 204 ? null : `page: ${(error as Error).name}`, {
          headers: { 'X-Page': 'ours' },
          ...(status !== undefined && { status }),
        }),
    })
    const response = await ask(async (django) => {
      const page = await visit(django)
      await db.db.schema.dropTable('django_session')
      return page
    })
    t.is(response.status, status !== undefined && status >= 300 ? status : 500)
    t.is(response.headers.get('X-Page'), 'ours')
    t.is(await response.text(), status === 204 ? '' : 'page: StorageFailure')
    t.deepEqual(response.headers.getSetCookie(), [])
  })

test('a response that is not sent, because the save has failed, ends its source', async (t) => {
  const { db, ask } = await open(t)
  const cancelled = Promise.withResolvers<unknown>()
  await t.throwsAsync(
    ask(async (django) => {
      await visit(django)
      await db.db.schema.dropTable('django_session')
      return new Response(new ReadableStream({ cancel: cancelled.resolve }))
    }),
    { code: 'ERR_STORAGE_FAILURE' },
  )
  t.is(((await cancelled.promise) as Error).name, 'StorageFailure')
})

test('a response is never sent, and ends its source, when the handler throws it and the save fails', async (t) => {
  const { db, ask } = await open(t, { onError: () => new Response('sorry', { status: 503 }) })
  const cancelled = Promise.withResolvers<unknown>()
  const response = await ask(async (django) => {
    await visit(django)
    await db.db.schema.dropTable('django_session')
    throw new Response(new ReadableStream({ cancel: cancelled.resolve }), { status: 404 })
  })
  t.is(await response.text(), 'sorry')
  await t.notThrowsAsync(cancelled.promise)
})

test('an unknown error is thrown, and the session is not saved', async (t) => {
  const { db, ask } = await open(t)
  const error = new Error('a bug')
  const thrown = await t.throwsAsync(
    ask(async (django) => {
      await visit(django)
      throw error
    }),
  )
  t.is(thrown, error)
  t.is(await db.count(), 0)
})

for (const error of [
  Object.assign(new Error('no such page'), { status: 404 }), // as an HTTP client's, of another server
  Object.assign(new Error('no such page'), { status: 404, expose: undefined }),
])
  test(`an error is thrown that does not say whether it may be shown: ${Object.keys(error)}`, async (t) => {
    const { db, ask } = await open(t)
    const first = await ask(visit)
    const row = await db.db('django_session').select()
    const thrown = await t.throwsAsync(
      ask(
        async (django) => {
          await visit(django)
          throw error
        },
        { headers: { Cookie: cookieOf(first) } },
      ),
    )
    t.is(thrown, error)
    t.deepEqual(await db.db('django_session').select(), row)
  })

for (const [title, status, expose, text] of [
  ['that may be shown is answered in its own words', 404, true, 'no such book'],
  ['that may not be shown is answered in the words of its status', 404, false, 'Not Found'],
  ['of the server is answered in the words of its status', 503, false, 'Service Unavailable'], // which saves nothing
] as const)
  test(`an error of http-errors ${title}, with the cookie of a saved session: ${status}`, async (t) => {
    const { ask } = await open(t)
    const response = await ask(async (django) => {
      await visit(django)
      throw Object.assign(new Error('no such book'), { status, expose })
    })
    t.is(response.status, status)
    t.is(await response.text(), text)
    t.regex(cookieOf(response), status < 500 ? /^sessionid=\w{32}$/ : /^$/)
  })

test('onError is the error page: it gets the cookies of the session', async (t) => {
  const { ask } = await open(t, {
    onError: (error) => new Response(`page: ${error instanceof Error && error.message}`, { status: 404 }),
  })
  const response = await ask(async (django) => {
    await visit(django)
    throw new Error('no such book')
  })
  t.is(await response.text(), 'page: no such book')
  t.regex(cookieOf(response), /^sessionid=/)
})

test('a request without a CSRF token is a 403 in words that say nothing of the check', async (t) => {
  const { ask } = await open(t)
  const response = await ask(
    async ({ csrf }) => {
      await csrf.check()
      return new Response('changed')
    },
    { method: 'POST' },
  )
  t.is(response.status, 403)
  t.is(await response.text(), 'CSRF verification failed. Request aborted.')
})

test('the handler can read the body itself after a CSRF check has read the form', async (t) => {
  const { ask } = await open(t)
  const page = await ask(({ csrf }) => Response.json(csrf.getToken()))
  const body = new URLSearchParams({ csrfmiddlewaretoken: String(await page.json()), title: 'Emma' })
  const request = new Request('http://localhost:3000/', {
    method: 'POST',
    body,
    headers: { Cookie: cookieOf(page) },
  })
  const { site } = await open(t)
  const response = await site.handle(request, async ({ csrf, form }) => {
    await csrf.check()
    t.is((await form()).get('title'), 'Emma')
    return Response.json((await request.formData()).get('title'))
  })
  t.is(await response.json(), 'Emma')
})

test('a form whose body was read before is an error that says so', async (t) => {
  const { site } = await open(t)
  const request = new Request('http://localhost/', { method: 'POST', body: new URLSearchParams({ a: '1' }) })
  await request.text()
  await t.throwsAsync(
    site.handle(request, async ({ form }) => Response.json((await form()).get('a'))),
    {
      instanceOf: TypeError,
      message: /^the form cannot be read, since the body of the request was read already/,
    },
  )
})

/** What the CSRF check makes of an Origin: 200 when it is the page's own. */
async function originIsAccepted(
  t: ExecutionContext,
  {
    options,
    headers = {},
    info,
  }: {
    options?: Partial<FetchSiteOptions>
    headers?: Record<string, string>
    info?: { isSecure?: boolean; host?: string }
  },
): Promise<boolean> {
  const { site } = await open(t, options)
  const page = await site.handle(new Request('http://localhost:3000/'), ({ csrf }) =>
    Response.json(csrf.getToken()),
  )
  const request = new Request('http://localhost:3000/', {
    method: 'POST',
    headers: {
      Cookie: cookieOf(page),
      'X-CSRFToken': String(await page.json()),
      Origin: 'https://shop.example',
      ...headers,
    },
  })
  const check: FetchHandler = async ({ csrf }) => {
    await csrf.check()
    return new Response()
  }
  return (await site.handle(request, check, info)).status === 200
}

test('behind a proxy, scheme and host are taken from the headers that are trusted, as in Django', async (t) => {
  const trusting = { secureProxySslHeader: ['X-Forwarded-Proto', 'https'], useXForwardedHost: true } as const
  const headers = { 'X-Forwarded-Proto': 'https, http', 'X-Forwarded-Host': 'shop.example' }
  t.true(await originIsAccepted(t, { options: trusting, headers }))
  t.false(await originIsAccepted(t, { headers }))
  t.false(
    await originIsAccepted(t, { options: trusting, headers: { ...headers, 'X-Forwarded-Proto': 'http' } }),
  )
  t.true(await originIsAccepted(t, { info: { isSecure: true, host: 'shop.example' } }))
  t.true(await originIsAccepted(t, { headers: { Host: 'shop.example' }, info: { isSecure: true } }))
})

test('read takes a Request, its Headers, a Cookie text, and the headers() and cookies() of Next', async (t) => {
  const { site, ask } = await open(t)
  const cookie = cookieOf(await ask(visit))
  const [name = '', value = ''] = cookie.split('=')
  const headers = new Headers({ Cookie: cookie })
  const jar = {
    get: (one: string) => (one === name ? { name, value } : undefined),
    getAll: () => [
      { name: 'theme', value: 'dark' },
      { name, value },
    ],
  }
  for (const request of [new Request('http://localhost/', { headers }), headers, cookie, jar, { headers }])
    t.is((await site.read(request)).session.get('num_visits'), 1)
  for (const request of [null, undefined, '', new Headers(), { getAll: () => [] }])
    t.is((await site.read(request)).session.get('num_visits'), undefined)
})

test('read returns a session that cannot be changed, and writes nothing', async (t) => {
  const { db, site, ask } = await open(t, { saveEveryRequest: true })
  const cookie = cookieOf(await ask(visit))
  const before = await db.db('django_session').select()
  const { session, user } = await site.read(cookie)
  t.deepEqual(new Set(Object.keys(session)), new Set(['get', 'has', 'keys']))
  t.false(user.isAuthenticated)
  t.deepEqual(await db.db('django_session').select(), before)
})

test('what is not a request is refused in words', async (t) => {
  const { site } = await open(t)
  await t.throwsAsync(
    site.handle(undefined as never, () => new Response()),
    {
      instanceOf: TypeError,
      message: 'site.handle: request must be an object, but is undefined',
    },
  )
  await t.throwsAsync(site.read(1 as never), { instanceOf: TypeError })
})
