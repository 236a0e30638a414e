import test from 'ava'
import { versionProfile } from '../../src/django/versions.ts'
import { djangoVersions } from '../support/django.ts'
import { add } from './forms-site.ts'
import { takeTurn } from './sites.ts'
import { logIn, logOut, startInFront } from './upstream-site.ts'
import { createVisitor, type Visitor } from './visitor.ts'

for (const version of djangoVersions) {
  test(`in front of Django ${version} a visitor logs in and out on either side, and both show the same user`, async (t) => {
    t.timeout(110_000)
    await takeTurn(t)
    const { front, withLogin, django } = await startInFront(t, { version })
    const get = async (visitor: Visitor, url: string) => {
      const response = await visitor.fetch(url)
      return { status: response.status, to: response.headers.get('Location'), page: await response.text() }
    }
    const borrowed = async (visitor: Visitor, site: string) => {
      const { status, page } = await get(visitor, `${site}/catalog/mybooks/`)
      return status === 200 && page.includes('User: reader') && page.includes('날개')
    }
    const isReader = async (visitor: Visitor, site: string) =>
      (await get(visitor, `${site}/nowhere-here-but-in-django`)).status === 404 &&
      (await get(visitor, `${site}/catalog/`)).page.includes('User: <strong>reader</strong>')

    // With Django's pages, through our port.
    const visitor = createVisitor()
    t.is(await visitor.visit(front.url), 1)
    t.true((await get(visitor, `${front.url}/catalog/books/`)).page.includes('거울'))
    t.is((await get(visitor, `${front.url}/static/css/styles.css`)).status, 200)
    t.is((await get(visitor, `${front.url}/catalog/mybooks/`)).to, '/accounts/login/?next=/catalog/mybooks/')
    t.is(await logIn(visitor, front.url, { next: '/catalog/mybooks/' }), '/catalog/mybooks/')
    t.true(await borrowed(visitor, front.url))
    t.is(await visitor.visit(django), 2)
    t.true(await isReader(visitor, front.url))
    t.is(await visitor.visit(front.url), 4)
    t.is(await logOut(visitor, `${front.url}/catalog/`), 200) // Our form, which Django handles.
    t.is(visitor.cookie(), undefined)
    t.is(await visitor.visit(front.url), 1)

    // With our pages, and with Django's form sent to ours.
    const other = createVisitor()
    t.is(await other.visit(withLogin.url), 1)
    t.is(await logIn(other, withLogin.url, { next: '/catalog/mybooks/' }), '/catalog/mybooks/')
    t.true(await borrowed(other, withLogin.url))
    t.true(await borrowed(other, django))
    t.is(await other.visit(withLogin.url), 2)
    t.is(await logOut(other, `${withLogin.url}/catalog/mybooks/`), 200)
    t.is(other.cookie(), undefined)
    t.is((await get(other, `${django}/catalog/mybooks/`)).status, 302)

    // The form of one side, sent to the other.
    const crossing = createVisitor()
    t.is(await logIn(crossing, django, { site: withLogin.url, next: '/catalog/' }), '/catalog/')
    t.true(await isReader(crossing, front.url))
    t.is(await logIn(crossing, withLogin.url, { site: front.url, next: '/catalog/' }), '/catalog/')
    t.true(await borrowed(crossing, withLogin.url))

    // A message that Django stored is shown once, here.
    await add(crossing, front.url, [25, 'Saved <b>', '', false])
    t.true((await get(crossing, `${front.url}/catalog/`)).page.includes('message success">Saved &lt;b&gt;<'))
    t.false((await get(crossing, `${front.url}/catalog/`)).page.includes('Saved'))

    // An unsafe `next`, and the effect of a GET of the logout page.
    const status = versionProfile(version).logsOutOnGet ? 200 : 405
    for (const site of [front.url, withLogin.url]) {
      const stranger = createVisitor()
      t.is(await logIn(stranger, site, { next: '//evil.example/' }), '/')
      t.is((await get(stranger, `${site}/accounts/logout/`)).status, status, site)
      t.is(stranger.cookie() === undefined, status === 200, site)
    }
    const staff = createVisitor()
    await logIn(staff, withLogin.url, { next: '/catalog/', username: 'librarian' })
    t.true((await get(staff, `${withLogin.url}/catalog/borrowed/`)).page.includes('날개'))
    t.is((await get(staff, `${withLogin.url}/admin/`)).status, 200)
    for (const { log } of [front, withLogin])
      t.false(log().some(({ event }) => event === 'http.failure' || event === 'session.unreadable'))
  })
}
