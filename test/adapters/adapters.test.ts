import test from 'ava'
import { addUser, hashed } from '../auth/users.ts'
import { openDb } from '../engines/db-under-test.ts'
import { adapters, ask, siteOf } from './sites.ts'

for (const [name, serve] of Object.entries(adapters)) {
  test(`under ${name}: login, user, permissions and logout`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    await addUser(db, { username: 'ann', password: hashed('secret'), is_superuser: true })
    const url = await serve(t, siteOf(db), async ({ django, setStatus }) => {
      const user = await django.user()
      if (user.isAuthenticated && (await user.hasPerm('catalog.can_mark_returned'))) {
        await django.logout()
        return [user.getUsername(), (await django.user()).isAuthenticated]
      }
      t.is(await django.authenticate({ username: 'ann', password: 'wrong' }), null)
      const ann = await django.authenticate({ username: ' ann ', password: 'secret' })
      if (ann === null) return setStatus(403)
      await django.login(ann)
      return (await django.user()).getUsername()
    })

    const loggedIn = await ask(url)
    t.is(loggedIn.body, '"ann"')
    const [cookie = ''] = loggedIn.setCookie
    t.regex(cookie, /^sessionid=\w{32};.*HttpOnly/)
    const loggedOut = await ask(url, cookie.split(';')[0])
    t.is(loggedOut.body, '["ann",false]')
    t.regex(loggedOut.setCookie[0] ?? '', /^sessionid="";/)
    t.is(loggedOut.vary, 'Cookie')
    t.is(await db.count(), 0)
  })

  test(`under ${name}: no visitor gets a 200 whose session was not saved`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const session = await django.session.load()
      session.set('a', 1)
      await db.db.schema.dropTable('django_session')
    })
    const { status, setCookie, body } = await ask(url)
    t.is(status, 500)
    t.deepEqual(setCookie, [])
    t.not(body, 'null')
  })

  test(`under ${name}: a session that was deleted meanwhile is a 400`, async (t) => {
    const db = await openDb(t, 'sqlite')
    const key = 'abcdefgh0123456789abcdefgh012345'
    await db.engine.create(key, { data: new Map([['a', '1']]), expireDate: new Date('2999-01-01') })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const session = await django.session.load()
      session.set('a', 2)
      await db.engine.delete(key)
    })
    const { status, setCookie } = await ask(url, `sessionid=${key}`)
    t.is(status, 400)
    t.deepEqual(setCookie, [])
  })

  test(`under ${name}: a request without a session makes no query`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    let queries = 0
    db.db.on('query', () => {
      queries += 1
    })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const user = await django.user()
      return [user.isAuthenticated, await user.hasPerm('catalog.can_mark_returned')]
    })
    t.is((await ask(url)).body, '[false,false]')
    t.is(queries, 0)
  })
}
