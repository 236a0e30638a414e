import test from 'ava'
import Koa, { type Middleware } from 'koa'
import { djangoSessions } from '../../../src/adapters/koa/django-sessions.ts'
import {
  createMessagesMiddleware,
  type MessagesMiddlewareOptions,
} from '../../../src/adapters/koa/messages.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createVisitor, type Visitor } from '../../interop/visitor.ts'
import type { Scope } from '../../support/file-scope.ts'
import { listen } from '../../support/library.ts'

const sessionCookie = { domain: null, secure: false, httpOnly: true, sameSite: 'Lax' } as const

test('messages have the tag of their level and their own tags', async (t) => {
  const visit = await start(t, { tags: { 40: 'danger', 50: 'fatal', 20: '' } })
  await visit('/add', (ctx) => {
    const { messages } = ctx
    messages.debug('below MESSAGE_LEVEL')
    messages.info('')
    messages.info('i')
    messages.success('s', { extraTags: 'big' })
    messages.warning('w', { isSafe: true })
    messages.error('e')
    messages.add(50, 'f')
    messages.add(21, 'no level', { extraTags: 'own' })
  })
  await visit('/show', async (ctx) => {
    const shown = await ctx.messages.take()
    t.deepEqual(
      shown.map(({ text, tags, levelTag, isSafe }) => [text, tags, levelTag, isSafe]),
      [
        ['i', '', '', false],
        ['s', 'big success', 'success', false],
        ['w', 'warning', 'warning', true],
        ['e', 'danger', 'danger', false],
        ['f', 'fatal', 'fatal', false],
        ['no level', 'own', '', false],
      ],
    )
  })
})

test('a page shows the messages that it added before; the next page shows those that it added after', async (t) => {
  const visit = await start(t)
  await visit('/', (ctx) => ctx.messages.info('earlier'))
  await visit('/', async (ctx) => {
    ctx.messages.info('same page')
    const first = await ctx.messages.take()
    t.deepEqual(
      first.map(({ text }) => text),
      ['earlier', 'same page'],
    )
    t.deepEqual(await ctx.messages.take(), first)
    ctx.messages.info('next page')
  })
  await visit('/', async (ctx) =>
    t.deepEqual(
      (await ctx.messages.take()).map(({ text }) => text),
      ['next page'],
    ),
  )
  await visit('/', async (ctx) => t.deepEqual(await ctx.messages.take(), []))
})

test('a page that neither adds nor shows messages sets no header for them', async (t) => {
  const visit = await start(t)
  await visit('/', (ctx) => ctx.messages.info('kept'))
  const quiet = await visit('/', () => null)
  t.deepEqual([quiet.headers.getSetCookie(), quiet.headers.get('Vary')], [[], null])
  await visit('/', async (ctx) => t.is((await ctx.messages.take()).length, 1))
  const none = await visit('/', async (ctx) => t.is((await ctx.messages.take()).length, 0))
  t.deepEqual(none.headers.getSetCookie(), [])
})

test('the next page shows a message that a failed page added', async (t) => {
  const visit = await start(t)
  const failed = await visit('/', (ctx) => {
    ctx.messages.error('that went wrong')
    throw new Error('in the view')
  })
  t.is(failed.status, 500)
  await visit('/', async (ctx) => t.is((await ctx.messages.take())[0]?.text, 'that went wrong'))
})

for (const [storage, isRemoved] of [
  ['cookie', true],
  ['fallback', false],
] as const) {
  test(`a cookie that does not verify shows nothing; the ${storage} storage ${isRemoved ? 'removes' : 'leaves'} it`, async (t) => {
    const visitor = createVisitor()
    const visit = await start(t, { storage }, visitor)
    visitor.setCookie('W10:1r31eq:forged', 'messages')
    await visit('/', async (ctx) => t.deepEqual(await ctx.messages.take(), []))
    t.is(visitor.cookie('messages') === undefined, isRemoved)
    visitor.setCookie('W10:1r31eq:forged', 'messages')
    await visit('/', (ctx) => ctx.messages.info('new'))
    await visit('/', async (ctx) => t.is((await ctx.messages.take())[0]?.text, 'new'))
  })
}

type View = (ctx: Parameters<Middleware>[0]) => unknown

/** A site whose pages are what each visit gives it. These sessions need no database. */
async function start(
  t: Scope,
  options: Partial<MessagesMiddlewareOptions> = {},
  visitor: Visitor = createVisitor(),
): Promise<(path: string, view: View) => Promise<Response>> {
  let current: View = () => null
  const app = new Koa()
  app.use(async function failure(ctx, next) {
    try {
      await next()
    } catch {
      ctx.status = 500
    }
  })
  const engine = 'django.contrib.sessions.backends.signed_cookies'
  app.use(djangoSessions({ engine, secretKeys: ['a key'], djangoVersion: '5.2' }))
  const profile = versionProfile('5.2')
  app.use(createMessagesMiddleware({ profile, secretKeys: ['a key'], sessionCookie, ...options }))
  app.use(async (ctx) => {
    ctx.body = ''
    await current(ctx)
  })
  const url = await listen(t, app.callback())
  return async (path, view) => {
    current = view
    return visitor.fetch(`${url}${path}`)
  }
}
