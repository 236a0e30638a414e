import Koa, { type Context, type Middleware } from 'koa'
import { djangoSessions } from '../../../src/adapters/koa/django-sessions.ts'
import { createErrorPages } from '../../../src/service/pages/error-pages.ts'
import { createTemplates } from '../../../src/service/pages/templates.ts'
import type { DjangoSessionsOptions } from '../../../src/site/site-options.ts'
import { type DbUnderTest, secretKey } from '../../engines/db-under-test.ts'
import type { Scope } from '../../support/file-scope.ts'
import { bareLayout } from '../../support/layout.ts'
import { listen, recordLog } from '../../support/library.ts'

export type Handler = (ctx: Context) => unknown

export interface SiteOptions {
  /** Error pages around and inside the session middleware, as our own app has them; bare Koa without. */
  readonly hasErrorPages?: boolean
  readonly settings?: Partial<DjangoSessionsOptions>
  readonly onError?: (error: unknown) => void
}

/** Serves one handler behind the session middleware; what it returns is the body, as JSON. */
export async function serve(
  t: Scope,
  site: DbUnderTest,
  handler: Handler,
  { hasErrorPages = true, settings, onError = () => {} }: SiteOptions = {},
): Promise<(cookie?: string) => Promise<Answer>> {
  const app = new Koa()
  app.on('error', onError)
  const errorPages: Middleware = hasErrorPages
    ? createErrorPages({
        templates: createTemplates({ stylesUrl: '', iconUrl: '', version: '' }),
        log: recordLog(),
        bareLayout,
      })
    : (_ctx, next) => next()
  app.use(errorPages)
  app.use(
    djangoSessions({
      db: site.db,
      secretKeys: [secretKey],
      djangoVersion: site.djangoVersion,
      useTz: site.useTz,
      timeZone: site.timeZone,
      now: () => site.clock.now,
      conflictTimeout: 30_000,
      ...settings,
    }),
  )
  app.use(errorPages)
  app.use(async (ctx) => {
    ctx.body = JSON.stringify((await handler(ctx)) ?? null)
  })
  const url = await listen(t, app.callback())
  return async (cookie) => {
    const response = await fetch(url, { headers: cookie === undefined ? {} : { Cookie: cookie } })
    return {
      status: response.status,
      setCookie: response.headers.getSetCookie(),
      vary: response.headers.get('Vary'),
      body: await response.text(),
    }
  }
}

export interface Answer {
  readonly status: number
  readonly setCookie: string[]
  readonly vary: string | null
  readonly body: string
}

/** The session key that this answer gives; '' where it deletes the cookie, undefined where it sets none. */
export function keyIn({ setCookie }: Answer): string | undefined {
  return setCookie[0]?.replace(/^[^=]*=([^;]*).*$/, '$1').replace('""', '')
}

/** What the views did on which real Django was measured, by the names in test/measured. */
export function operations(site: DbUnderTest): Readonly<Record<string, Handler>> {
  const session = (ctx: Context) => ctx.session.load<Record<string, unknown>>()
  const setAndAnswer =
    (name: string, answer: (ctx: Context) => void): Handler =>
    async (ctx) => {
      const loaded = await session(ctx)
      loaded.set(`x${name}`, 1)
      answer(ctx)
    }
  const withStatus =
    (status: number) =>
    (ctx: Context): void => {
      ctx.status = status
    }
  const setExpiry =
    (seconds: number): Handler =>
    async (ctx) =>
      (await session(ctx)).setExpiry(seconds)
  const readWithVary =
    (vary: string): Handler =>
    async (ctx) => {
      ctx.set('Vary', vary)
      ;(await session(ctx)).get('a')
    }
  return {
    noop: () => null,
    read: async (ctx) => (await session(ctx)).get('num_visits'),
    readall: async (ctx) => Object.fromEntries(await session(ctx)),
    key: (ctx) => ctx.session.sessionKey,
    isempty: (ctx) => ctx.session.isEmpty,
    bool: (ctx) => Boolean(ctx.session),
    haskey: async (ctx) => (await session(ctx)).has('a'),
    async set(ctx) {
      const loaded = await session(ctx)
      loaded.set('num_visits', Number(loaded.get('num_visits') ?? 0) + 1)
    },
    async nested(ctx) {
      const loaded = await session(ctx)
      ;(loaded.get('cart') as { items: number[] }).items.push(1)
      return loaded.get('cart')
    },
    flush: async (ctx) => void (await session(ctx)).flush(),
    clear: async (ctx) => (await session(ctx)).clear(),
    async flushset(ctx) {
      const loaded = await session(ctx)
      void loaded.flush()
      loaded.set('after', 1)
    },
    delmissing: async (ctx) => (await session(ctx)).pop('nope', null),
    cycle: async (ctx) => void (await session(ctx)).cycleKey(),
    set404: setAndAnswer('404', withStatus(404)),
    set500: setAndAnswer('500', withStatus(500)),
    set503: setAndAnswer('503', withStatus(503)),
    raise404: setAndAnswer('raise404', (ctx) => ctx.throw(404)),
    raise: setAndAnswer('raise', () => {
      throw new Error('in the view')
    }),
    exp0: setExpiry(0),
    exp300: setExpiry(300),
    expneg: setExpiry(-10),
    expfloat: setExpiry(90.7),
    vary: readWithVary('Accept-Encoding, cookie'),
    varystar: readWithVary('Accept, *'),
    async interrupted(ctx) {
      const loaded = await session(ctx)
      loaded.set('x', 1)
      await site.engine.delete(loaded.sessionKey ?? '')
    },
    testcookie: async (ctx) => (await session(ctx)).setTestCookie(),
    async testworked(ctx) {
      const loaded = await session(ctx)
      const worked = loaded.testCookieWorked()
      loaded.deleteTestCookie()
      return worked
    },
  }
}
