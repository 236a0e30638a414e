import type { ExecutionContext } from 'ava'
import { stringifyValue } from '../../../src/django/json.ts'
import type { Session } from '../../../src/session/session.ts'
import { rules } from './engine-under-test.ts'
import { type Check, later, type TestBed } from './test-bed.ts'

/** When a session ends. */
export const expiry: readonly Check[] = [
  {
    behaviour: 'a session lives for the cookie age from each save',
    async check(t, bed) {
      const session = await bed.request()
      session.set('a', 1)
      t.is(session.getExpiryAge(), rules.cookieAge)
      await session.save()
      bed.expires(t, await expireDate(bed, session), later(bed.clock, rules.cookieAge))
      bed.clock.now = later(bed.clock, 100)
      session.set('a', 2)
      await session.save()
      bed.expires(t, await expireDate(bed, session), later(bed.clock, rules.cookieAge))
    },
  },
  {
    behaviour: 'an expiry in seconds counts from each save',
    async check(t, bed) {
      const session = await bed.request()
      session.setExpiry(10)
      t.is(session.getExpiryAge(), 10)
      t.deepEqual(session.getExpiryDate(), later(bed.clock, 10))
      await session.save()
      t.deepEqual(await bed.stored(session.sessionKey), [['_session_expiry', '10']])
      bed.clock.now = later(bed.clock, 5)
      const next = await bed.request(session.sessionKey ?? '')
      next.set('a', 1)
      await next.save()
      bed.expires(t, await expireDate(bed, next), later(bed.clock, 10))
    },
  },
  {
    behaviour: 'an expiry at a time stays there',
    async check(t, bed) {
      const time = later(bed.clock, 10)
      for (const value of [time, { seconds: 10 }]) {
        const session = await bed.request()
        session.setExpiry(value)
        t.is(session.getExpiryAge(), 10)
        t.deepEqual(session.getExpiryDate(), time)
        await session.save()
        t.deepEqual(await bed.stored(session.sessionKey), [
          ['_session_expiry', '"2026-11-23T08:25:22.345000+00:00"'],
        ])
        bed.expires(t, await expireDate(bed, session), time)
      }
    },
  },
  {
    behaviour: 'an expiry is taken back',
    async check(t, { request }) {
      const session = await request()
      session.setExpiry(null)
      t.false(session.modified)
      session.setExpiry(10)
      session.setExpiry(null)
      t.is(session.getExpiryAge(), rules.cookieAge)
      t.false(session.has('_session_expiry'))
    },
  },
  {
    behaviour: '0 means until the browser closes, and the default depends on the site',
    async check(t, { request }) {
      for (const expireAtBrowserClose of [false, true]) {
        const session = await request(undefined, { rules: { ...rules, expireAtBrowserClose } })
        t.is(session.getExpireAtBrowserClose(), expireAtBrowserClose)
        session.setExpiry(10)
        t.false(session.getExpireAtBrowserClose())
        session.setExpiry(0)
        t.true(session.getExpireAtBrowserClose())
        t.is(session.getExpiryAge(), rules.cookieAge)
        session.setExpiry(null)
        t.is(session.getExpireAtBrowserClose(), expireAtBrowserClose)
      }
    },
  },
  {
    behaviour: 'every form that a Django stores is understood',
    async check(t, bed) {
      const { traits } = bed
      const forms: [text: string, seconds: number, atBrowserClose: boolean][] = [
        ['null', rules.cookieAge, false],
        ['0', rules.cookieAge, true],
        ['false', rules.cookieAge, true],
        ['true', 1, false],
        ['300', 300, false],
        ['90.5', 90.5, false],
        ['-10', -10, false],
        ['"2026-11-23T08:30:12.345000+00:00"', 300, false],
        ['"2026-11-23T17:30:12.345+09:00"', 300, false],
        ['"2026-11-23T08:30:12.345Z"', 300, false],
      ]
      for (const [text, seconds, atBrowserClose] of forms) {
        const key = await bed.make({ _session_expiry: text })
        if (seconds < 0 && traits.obeysExpiry && !traits.keepsExpireDate) {
          t.is(await bed.stored(key), null, 'over from the start')
          continue
        }
        const session = await bed.request(key)
        t.is(session.getExpiryAge(), seconds, text)
        t.is(session.getExpireAtBrowserClose(), atBrowserClose, text)
        session.set('a', 1)
        await session.save()
        if (seconds > 0) bed.expires(t, await expireDate(bed, session), later(bed.clock, seconds), text)
        else await expiredAtOnce(t, bed, session)
      }
    },
  },
  {
    behaviour: 'an expiry on which Django fails fails here, and the session stays as it was',
    async check(t, bed) {
      for (const text of ['"300"', '"2026-11-23T08:30:12"', '[]'.replace('[]', '[1]'), '1795422312345000']) {
        const key = await bed.make({ a: '1', _session_expiry: text })
        const session = await bed.request(key)
        session.set('a', 2)
        const failed = await t.throwsAsync(
          session.save().then(() => session.getExpiryAge()),
          { code: 'ERR_SESSION_EXPIRY' },
          text,
        )
        t.truthy(failed)
        session.setExpiry(300)
        await t.notThrowsAsync(session.save(), 'mended, it can be saved')
      }
    },
  },
  {
    behaviour: 'an expiry in the past ends the session at once',
    async check(t, bed) {
      const session = await bed.request()
      session.set('foo', 'bar')
      session.setExpiry({ seconds: -10 })
      await session.save()
      await expiredAtOnce(t, bed, session)
      t.is((await bed.request(session.sessionKey ?? '')).has('foo'), !bed.traits.obeysExpiry)
    },
  },
]

async function expireDate({ engine }: TestBed, session: Session): Promise<Date | undefined> {
  return (await engine.load(session.sessionKey ?? ''))?.expireDate
}

async function expiredAtOnce(t: ExecutionContext, bed: TestBed, session: Session): Promise<void> {
  const stored = await bed.stored(session.sessionKey)
  if (bed.traits.obeysExpiry) t.is(stored, null)
  else t.deepEqual(stored, [...session.keys().map((key) => [key, stringifyValue(session.get(key))])])
}
