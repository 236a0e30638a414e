import test from 'ava'
import Koa from 'koa'
import { createLayouts } from '../../../src/service/pages/layout.ts'
import { listen } from '../../support/library.ts'
import { addMessages, addUser, logIn, startLoginSite } from './login-site.ts'

/** The texts and URLs of the sidebar's links, in order. */
function sidebar(page: string): string[] {
  const [, sidebarHtml = ''] = /<header class="sidebar">([\s\S]*?)<\/header>/.exec(page) ?? []
  const items = sidebarHtml.matchAll(
    /<a href="([^"]*)"[^>]*>([^<]*)<\/a>|<form [^>]*action="([^"]*)"|User: <strong>([^<]*)/g,
  )
  return [...items].map(([, href, text, action, user]) =>
    user === undefined ? (action === undefined ? `${text} ${href}` : `form ${action}`) : `user ${user}`,
  )
}

const LIBRARY = ['Home /catalog/', 'All books /catalog/books/', 'All authors /catalog/authors/']

test('an anonymous visitor sees a login link, and costs no statements beyond the session and the counts', async (t) => {
  const site = await startLoginSite(t)
  site.statements()
  const first = await site.visitor.fetch(`${site.url}/catalog/`)
  const page = await first.text()
  t.deepEqual(sidebar(page), [...LIBRARY, 'Login /accounts/login/?next=/catalog/'])
  t.is(first.headers.getSetCookie().length, 1)
  t.regex(first.headers.getSetCookie()[0] ?? '', /^sessionid=/)
  t.is(site.statements().length, 2) // The counts, and the new session.
  await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.is(site.statements().length, 3) // The session is read, too.
})

test('a user sees their name, their books and a logout button, for one more statement, permissions included', async (t) => {
  const site = await startLoginSite(t)
  await logIn(site)
  site.statements()
  const response = await site.visitor.fetch(`${site.url}/catalog/`)
  t.deepEqual(sidebar(await response.text()), [
    ...LIBRARY,
    'user reader',
    'My borrowed /catalog/mybooks/',
    'form /accounts/logout/',
  ])
  t.regex(response.headers.getSetCookie().join('\n'), /^csrftoken=/m)
  t.is(site.statements().length, 4) // The session, the user with permissions, the counts, and the save.
})

test('staff see the admin and all borrowed books; a librarian with the permission sees all borrowed books', async (t) => {
  const site = await startLoginSite(t)
  await logIn(site, { username: 'librarian' })
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.deepEqual(sidebar(page).slice(-2), ['All borrowed /catalog/borrowed/', 'Admin /admin/'])
  t.regex(page, /<nav aria-labelledby="staff">/)

  const [contentType = 0] = await site
    .db('django_content_type')
    .insert({ app_label: 'catalog', model: 'loan' })
  const [permission = 0] = await site
    .db('auth_permission')
    .insert({ name: '-', content_type_id: contentType, codename: 'can_mark_returned' })
  const id = await addUser(site.db, { username: 'clerk' })
  await site.db('auth_user_user_permissions').insert({ user_id: id, permission_id: permission })
  await logIn(site, { username: 'clerk' })
  const clerks = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.deepEqual(sidebar(clerks).slice(-2), ['form /accounts/logout/', 'All borrowed /catalog/borrowed/'])
})

test('a user name is escaped', async (t) => {
  const site = await startLoginSite(t)
  await addUser(site.db, { username: '<b>&"' })
  await logIn(site, { username: '<b>&"' })
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.true(page.includes('User: <strong>&lt;b&gt;&amp;&quot;</strong>'))
})

test('the login link returns to the current page', async (t) => {
  const layouts = createLayouts({ isServed: () => true, djangoBaseUrl: '', loginUrl: '/accounts/login/' })
  const app = new Koa().use((ctx) => {
    ctx.body = layouts.bare(ctx).next
  })
  const url = await listen(t, app.callback())
  for (const [path, next] of [
    ['/catalog/book/1', '/catalog/book/1'],
    ['/a%22b&c=d/', '/a%2522b%26c%3Dd/'],
    ['//evil.example/', '//evil.example/'],
  ] as const)
    t.is(await (await fetch(`${url}${path}`)).text(), next)
})

test('an error page shows no user and runs no statement, as in Django', async (t) => {
  const site = await startLoginSite(t)
  await logIn(site)
  site.statements()
  const missing = await site.visitor.fetch(`${site.url}/nowhere`)
  t.is(missing.status, 404)
  t.is(missing.headers.get('Vary'), null)
  t.deepEqual(sidebar(await missing.text()), LIBRARY)
  t.deepEqual(site.statements(), [])
  await site.db.schema.renameTable('auth_user', 'elsewhere')
  await site.visitor.fetch(`${site.url}/catalog/`) // The first time, the user is looked up without permissions, too.
  site.statements()
  const failed = await site.visitor.fetch(`${site.url}/catalog/`)
  t.is(failed.status, 500)
  t.deepEqual(sidebar(await failed.text()), LIBRARY)
  t.true(site.statements().length <= 3)
})

test('a password change elsewhere ends the login here immediately', async (t) => {
  const site = await startLoginSite(t)
  await site.visitor.visit(site.url)
  await logIn(site)
  await site.db('auth_user').where({ username: 'reader' }).update({ password: '!' })
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.deepEqual(sidebar(page).slice(3), ['Login /accounts/login/?next=/catalog/'])
  t.true(page.includes('this page 1 time.'))
})

test('messages are shown once, escaped unless they are marked safe', async (t) => {
  const site = await startLoginSite(t, { session: { messages: { storage: 'session' } } })
  await site.visitor.visit(site.url)
  await addMessages(site, [0, 25, 'Saved <b>', 'big'], [1, 40, '<em>Late</em>', ''])
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.regex(page, /<ul class="messages">\s+<li class="message big success">Saved &lt;b&gt;<\/li>/)
  t.regex(page, /<li class="message error"><em>Late<\/em><\/li>/)
  const again = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.false(again.includes('class="messages"'))
})

test('links to pages of Django have its origin, forms may be sent there, and our own pages keep relative links', async (t) => {
  const site = await startLoginSite(t, { djangoBaseUrl: 'https://django.example:8443' })
  await logIn(site, { username: 'librarian' })
  const response = await site.visitor.fetch(`${site.url}/catalog/`)
  t.regex(
    response.headers.get('Content-Security-Policy') ?? '',
    /form-action 'self' https:\/\/django\.example:8443;/,
  )
  t.deepEqual(sidebar(await response.text()), [
    'Home /catalog/',
    'All books https://django.example:8443/catalog/books/',
    'All authors https://django.example:8443/catalog/authors/',
    'user librarian',
    'My borrowed https://django.example:8443/catalog/mybooks/',
    'form /accounts/logout/',
    'All borrowed https://django.example:8443/catalog/borrowed/',
    'Admin https://django.example:8443/admin/',
  ])
})

test('the login link follows LOGIN_URL and djangoBaseUrl', async (t) => {
  const site = await startLoginSite(t, {
    login: null,
    loginUrl: 'https://sso.example/in',
    djangoBaseUrl: 'https://django.example',
  })
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.is(sidebar(page).at(-1), 'Login https://sso.example/in?next=/catalog/')
})
