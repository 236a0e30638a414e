import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { SIGNED_COOKIES_SALT } from '../../src/engines/signed-cookies.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { secretKey, startKoa, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const engine = 'django.contrib.sessions.backends.signed_cookies'

for (const version of djangoVersions) {
  test(`Django ${version} and ours read each other's signed cookies`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const settings = { SESSION_ENGINE: engine }
    const sites = await startSites(t, { version, database: 'sqlite', settings })
    const { django, ours, databaseUrl, service } = sites
    const koa = await startKoa(t, { databaseUrl, version, engine })

    const [one, two] = [createVisitor(), createVisitor()]
    for (const [at, site] of [django, ours, django, ours, ours, django].entries())
      t.is(await one.visit(site), at + 1)
    for (const [at, site] of [ours, django, ours, django].entries()) t.is(await two.visit(site), at + 1)

    // Each side reads the values of the other, byte for byte, also when compressed.
    const body = `{"10":1.0,"2":[NaN,18446744073709551617],"홍":"길동","long":"${'a'.repeat(500)}"}`
    const set = await (await one.fetch(`${django}/_test/session`, { method: 'POST', body })).text()
    await one.fetch(`${koa}/`, { method: 'POST', body: '{"x":1}' })
    t.true(one.cookie()?.startsWith('.'))
    t.is(await (await one.fetch(`${django}/_test/session`)).text(), set.replace(/}$/, ',"x":1}'))

    // Logout on each side deletes the cookie.
    await one.fetch(`${koa}/`, { method: 'DELETE' })
    t.is(one.cookie(), undefined)
    await two.fetch(`${django}/_test/session`, { method: 'DELETE' })
    t.is(two.cookie(), undefined)
    t.is(await two.visit(ours), 1)

    // A cookie that a browser would not store is an error here, and the session is unchanged.
    const noise = Array.from({ length: 600 }, (_, at) => Math.sin(at))
    const before = two.cookie()
    const tooLarge = await two.fetch(`${koa}/`, { method: 'POST', body: JSON.stringify({ noise }) })
    t.is(tooLarge.status, 500)
    t.is(two.cookie(), before)
    t.is(await two.visit(django), 2)

    t.deepEqual(
      service.log().filter(({ level }) => Number(level) > 30),
      [],
    )
    t.is(await service.stop(), 0)
  })

  test(`a signed cookie expires at the same age for Django ${version} and ours`, async (t) => {
    await takeTurn(t)
    let now = new Date('2026-11-23T08:25:12.345Z')
    const profile = versionProfile(version)
    const codec = createSessionCodec({
      secretKeys: [secretKey],
      profile: { ...profile, reads: ['signed'], writes: 'signed' },
      salt: SIGNED_COOKIES_SALT,
      maxAge: 60,
      now: () => now,
    })
    const cookie = codec.encode(new Map([['a', '1']]))
    const ages = [-10, 0, 59, 59.6, 59.7, 60, 60.4, 61, 1000]
    const ask = ages.map((age) => now.getTime() / 1000 + age)
    const script = `
import json, sys, time
from django.contrib.sessions.backends.signed_cookies import SessionStore
for at in json.load(sys.stdin):
    time.time = lambda: at
    print(json.dumps(SessionStore(${JSON.stringify(cookie)}).load()))`
    const env = { SECRET_KEY: secretKey, SESSION_ENGINE: engine, SESSION_COOKIE_AGE: '60' }
    const answers = await djangoShell(version, { env, script, input: JSON.stringify(ask) })
    const start = now.getTime()
    const ours = ages.map((age) => {
      now = new Date(start + age * 1000)
      try {
        return JSON.stringify({ a: Number(codec.decode(cookie).data.get('a')) }).replace(':', ': ')
      } catch {
        return '{}'
      }
    })
    t.deepEqual(ours, answers.trim().split('\n'))
    t.true(ours.includes('{}') && ours.includes('{"a": 1}'))
  })
}
