import test from 'ava'
import { classify, keyHash } from '../../../src/operations/explain/pasted-text.ts'
import { durationText, siteTime, timeFrom } from '../../../src/operations/explain/site-time.ts'

const SIGNED = 'eyJhIjoxfQ:1tDf3o:0123456789012345678901234567890123456789012'
const LEGACY = Buffer.from(`${'0'.repeat(40)}:{"a":1}`).toString('base64')
const PADDED = Buffer.from(`${'0'.repeat(40)}:{"ab":12}`).toString('base64')

const LINES: readonly (readonly [line: string, kind: string, text?: string])[] = [
  ['Cookie: a=b; sessionid=x', 'cookies', 'a=b; sessionid=x'],
  ['set-cookie: sessionid=x; Path=/', 'cookies', 'sessionid=x; Path=/'],
  ['sessionid=x', 'cookies'],
  ['sessionid=', 'cookies'],
  ['csrftoken=abc; other="x=y"', 'cookies'],
  ['abcdefghijklmnopqrstuvwxyz012345', 'key'],
  [' abcdefgh ', 'key', 'abcdefgh'],
  ['short', 'key'],
  [SIGNED, 'session-data'],
  [`.${SIGNED}`, 'session-data'],
  [LEGACY, 'session-data'],
  [PADDED, 'session-data'],
  ['{"a": "b=c"}', 'session-data'],
  [SIGNED.slice(0, -20).padStart(80, 'e'), 'session-data'],
]

for (const [line, kind, text = line] of LINES) {
  test(`${JSON.stringify(line)} is ${kind}`, (t) => {
    t.deepEqual(classify(line, { cookieName: 'sessionid', keptInCookie: false }), { kind, text })
  })
}

test('with signed_cookies, a signed text is the value of a cookie', (t) => {
  t.is(classify(SIGNED, { cookieName: 'sessionid', keptInCookie: true }).kind, 'key')
})

test('the hash of a key is short, the same each time, and not the key', (t) => {
  t.is(keyHash('abcdefgh'), '9c56cc51b374')
})

test('instants are shown on the clock of the site, and as a distance', (t) => {
  const now = new Date('2026-03-01T01:00:00Z')
  t.is(siteTime(now, 'Asia/Seoul'), '2026-03-01 10:00:00 Asia/Seoul')
  t.is(timeFrom(now, new Date('2026-02-28T22:30:00Z')), '2 hours 30 minutes ago')
  t.is(timeFrom(now, new Date('2026-03-14T01:00:00Z')), 'in 13 days')
  t.is(timeFrom(now, now), 'now')
  t.is(durationText(1), '1 second')
  t.is(durationText(61), '1 minute 1 second')
  t.is(durationText(Number.POSITIVE_INFINITY), 'Infinity seconds')
  t.is(durationText(400 * 86_400), '1 year 35 days')
})
