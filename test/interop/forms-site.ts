import assert from 'node:assert/strict'
import Koa, { type Context } from 'koa'
import Router from 'koa-router'
import { createCsrfMiddleware, protect } from '../../src/adapters/koa/csrf.ts'
import { djangoSessions } from '../../src/adapters/koa/django-sessions.ts'
import { readForm } from '../../src/adapters/koa/form.ts'
import { createMessagesMiddleware } from '../../src/adapters/koa/messages.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createErrorPages } from '../../src/service/pages/error-pages.ts'
import { createTemplates } from '../../src/service/pages/templates.ts'
import { followProxy } from '../../src/service/proxy/trusted-proxy.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import { connect } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'
import { bareLayout } from '../support/layout.ts'
import { listen, type RecordedLog, recordLog } from '../support/library.ts'
import { secretKey, serviceEnvironment } from './sites.ts'
import type { Visitor } from './visitor.ts'

/** [level, text, extra tags, safe] */
export type Added = readonly [level: number, text: string, extraTags: string, isSafe: boolean]

/** [level, text, tags, safe] */
export type Shown = readonly [level: number, text: string, tags: string, isSafe: boolean]

export interface FormsSite {
  readonly url: string
  readonly log: RecordedLog
}

/** A Koa site with test/django-site's `/_test/form`, `/_test/messages` and `/_test/rotate`, told of Django's settings. */
export async function startForms(
  t: Scope,
  {
    databaseUrl,
    version,
    settings = {},
    onShown = async () => {},
  }: {
    databaseUrl: string
    version: string
    settings?: Readonly<Record<string, string>>
    /** Runs while a page that shows messages is rendered, after it has read them. */
    onShown?: (ctx: Context) => Promise<unknown>
  },
): Promise<FormsSite> {
  const db = connect(databaseUrl)
  t.teardown(() => db.destroy())
  const env = serviceEnvironment({ version, databaseUrl, settings })
  const { csrf, messages, session, trustedProxy } = readSettings(env, { cwd: '/nowhere' })
  const profile = versionProfile(version)
  const secretKeys = [secretKey] as const
  const log = recordLog()
  const templates = createTemplates({ stylesUrl: '', iconUrl: '', version: '' })
  const errorPages = createErrorPages({ templates, log, bareLayout })
  const app = new Koa()
  followProxy(app, trustedProxy)
  app.use(errorPages)
  app.use(djangoSessions({ db, secretKeys, djangoVersion: version, conflictTimeout: 30_000, ...session }))
  app.use(createCsrfMiddleware({ ...csrf, profile, sessionCookieDomain: session.cookie.domain }))
  app.use(createMessagesMiddleware({ ...messages, profile, secretKeys, sessionCookie: session.cookie }))
  app.use(errorPages)
  const router = new Router({ prefix: '/_test' })
  router.get('/form', (ctx) => {
    ctx.type = 'html'
    ctx.body = `<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="${ctx.csrf.getToken()}"></form>`
  })
  router.post('/form', protect, async (ctx) => {
    const form = await readForm(ctx)
    const added = JSON.parse(form.get('messages') ?? '[]') as readonly Added[]
    for (const [level, text, extraTags, isSafe] of added) ctx.messages.add(level, text, { extraTags, isSafe })
    ctx.body = 'done'
  })
  router.get('/messages', async (ctx) => {
    const shown = await ctx.messages.take()
    await onShown(ctx)
    ctx.type = 'json'
    ctx.body = JSON.stringify(shown.map(({ level, text, tags, isSafe }) => [level, text, tags, isSafe]))
  })
  router.get('/rotate', (ctx) => {
    ctx.csrf.rotateToken()
    ctx.body = 'done'
  })
  app.use(router.routes())
  return { url: await listen(t, app.callback()), log }
}

/** Returns the token in the form of this site. */
export async function tokenOf(visitor: Visitor, site: string, init?: RequestInit): Promise<string> {
  const page = await (await visitor.fetch(`${site}/_test/form`, init)).text()
  const [, token] = / name="csrfmiddlewaretoken" value="([a-zA-Z0-9]{64})"/.exec(page) ?? []
  assert(token, page)
  return token
}

/** Sends the form; returns the status. */
export async function send(
  visitor: Visitor,
  site: string,
  {
    token,
    messages = [],
    headers = {},
  }: { token?: string; messages?: readonly Added[]; headers?: Record<string, string> } = {},
): Promise<number> {
  const body = new URLSearchParams({ messages: JSON.stringify(messages) })
  if (token !== undefined) body.set('csrfmiddlewaretoken', token)
  const response = await visitor.fetch(`${site}/_test/form`, { method: 'POST', body, headers })
  await response.text()
  return response.status
}

/** Adds messages through the form of this site. */
export async function add(visitor: Visitor, site: string, ...messages: readonly Added[]): Promise<void> {
  assert.equal(await send(visitor, site, { token: await tokenOf(visitor, site), messages }), 200)
}

/** Returns the messages that the site shows. */
export async function shownBy(visitor: Visitor, site: string): Promise<Shown[]> {
  const response = await visitor.fetch(`${site}/_test/messages`)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}
