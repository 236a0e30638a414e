import { createHash } from 'node:crypto'
import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createSignedCookiesEngine, SIGNED_COOKIES_SALT } from '../../src/engines/signed-cookies.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { type EngineUnderTest, rules } from '../session/conformance/engine-under-test.ts'

conformance('signed_cookies engine', async () => openSignedCookies(), {
  lacks: ['keepsData', 'compares', 'keepsExpired', 'keepsExpireDate', 'obeysExpiry'],
})

test('a cookie is valid for SESSION_COOKIE_AGE, counted from the second of its signature', async (t) => {
  const { engine, clock } = openSignedCookies()
  const { sessionKey } = await engine.create('', { data: new Map([['a', '1']]), expireDate: clock.now })
  clock.now = new Date('2026-12-07T08:25:12.000Z')
  t.not(await engine.load(sessionKey), null)
  clock.now = new Date('2026-12-07T08:25:12.001Z')
  t.is(await engine.load(sessionKey), null)
})

test('a cookie signed in the future is accepted, and expires as if signed now', async (t) => {
  const { engine, clock } = openSignedCookies()
  const { sessionKey } = await engine.create('', { data: new Map(), expireDate: clock.now })
  clock.now = new Date('2020-01-01T00:00:00Z')
  t.is((await engine.load(sessionKey))?.expireDate.toISOString(), '2020-01-15T00:00:00.000Z')
})

test('the largest cookie has 4096 bytes, including its name', async (t) => {
  const { engine, clock } = openSignedCookies()
  // What zlib cannot make much smaller.
  const noise = Array.from({ length: 64 }, (_, at) =>
    createHash('sha512').update(`${at}`).digest('base64'),
  ).join('')
  const sizes: number[] = []
  let refusals = 0
  for (let length = 3700; length < 4200; length += 1) {
    try {
      const session = { data: new Map([['a', `"${noise.slice(0, length)}"`]]), expireDate: clock.now }
      sizes.push((await engine.create('', session)).sessionKey.length)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      t.is(error.name, 'SessionCookieTooLarge')
      t.regex(
        error.message,
        /^The session needs a cookie sessionid of \d+ bytes, and browsers keep no cookie above 4096;/,
      )
      refusals += 1
    }
  }
  t.true(refusals > 0)
  const largest = Math.max(...sizes) + 'sessionid'.length
  t.true(largest <= 4096 && largest > 4090, `${largest}`)
})

function openSignedCookies(): EngineUnderTest {
  const clock = { now: new Date('2026-11-23T08:25:12.345Z') }
  const now = () => clock.now
  const codec = createSessionCodec({
    secretKeys: ['a secret key of the tests'],
    profile: versionProfile('5.2'),
    salt: SIGNED_COOKIES_SALT,
    maxAge: rules.cookieAge,
    now,
  })
  return {
    clock,
    engine: createSignedCookiesEngine({ codec, cookieName: 'sessionid', rules, now }),
    async empty() {},
    count: async () => 0,
  }
}
