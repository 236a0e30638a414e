import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { readLog, SECRET_KEY, type Site, startSite, visit, watch } from './site.ts'

/** The key of the row that only this exact key may open. */
const KEY = 'abcdefghijklmnopqrstuvwxyz012345'

/** Keys of rows that only a bug could open: empty, or shorter than Django accepts, or likely results of a bug. */
const BAIT = ['', 'abcdefg', 'k'.repeat(40), '%']

const utf8 = (text: string) => Buffer.from(text).toString('latin1')
const upper = KEY.toUpperCase()

/** Cookie headers, one character per byte, that open no session; with the status, if it is not 200. */
const strangers: [name: string, header: string, status?: number][] = [
  ['an empty key', 'sessionid='],
  ['an empty key in quotes', 'sessionid=""'],
  ['a name alone', 'sessionid'],
  ['no name', `=${KEY}`],
  ['nothing but separators', ';;;;=;=;'],
  ['7 characters', 'sessionid=abcdefg'],
  ['41 characters', `sessionid=${'k'.repeat(41)}`],
  ['the key and one more character', `sessionid=${KEY}6`],
  ['the key without its end', `sessionid=${KEY.slice(0, -1)}`],
  ['8000 characters', `sessionid=${'k'.repeat(8000)}`],
  ['20,000 characters', `sessionid=${'k'.repeat(20_000)}`, 431],
  ['2000 cookies', 'a=b; '.repeat(2000)],
  ['upper case', `sessionid=${upper}`],
  ['one capital', `sessionid=A${KEY.slice(1)}`],
  ['an accent', utf8(`sessionid=á${KEY.slice(1)}`)],
  ['full-width letters', utf8(`sessionid=ａ${KEY.slice(1)}`)],
  ['a zero-width character', utf8(`sessionid=${KEY}\u200b`)],
  ['a soft hyphen', utf8(`sessionid=${KEY.slice(0, 9)}\u00ad${KEY.slice(9)}`)],
  ['a byte order mark', utf8(`sessionid=\ufeff${KEY}`)],
  ['a trailing space', `sessionid="${KEY} "`],
  ['a leading space', `sessionid=" ${KEY}"`],
  ['a trailing tab, by its octal escape', `sessionid="${KEY}\\011"`],
  ['a trailing NUL, by its octal escape', `sessionid="${KEY}\\000"`],
  ['NULs by their octal escapes', `sessionid="${'\\000'.repeat(8)}"`],
  ['a line feed by its octal escape', `sessionid="${KEY}\\012\\015"`],
  ['a lone quote', `sessionid="${KEY}`],
  ['percent-encoding', `sessionid=%61${KEY.slice(1)}`],
  ['another name after it', `sessionid=${KEY}; sessionid=abcdefgh`],
  ['an empty one after it', `sessionid=${KEY}; sessionid=`],
  ['another case of the name', `SessionID=${KEY}`],
  ['a prefix of the name', `xsessionid=${KEY}; sessionid_=${KEY}`],
  ['two keys in one', `sessionid=${KEY},${KEY}`],
  ['a comma between cookies', `a=b, sessionid=${KEY}`],
  ['SQL', "sessionid=' OR '1'='1"],
  ['SQL with a comment', `sessionid=' OR session_key = '${KEY}' -- `],
  ['SQL behind a backslash', `sessionid=\\' OR session_key = '${KEY}' -- `],
  ['SQL after the first byte of a multibyte character', `sessionid=\xbf' OR session_key = '${KEY}' -- `],
  ['SQL that ends the statement', `sessionid="'\\073 DELETE FROM django_session\\073 -- "`],
  ['SQL in double quotes', 'sessionid="\\" OR \\"1\\"=\\"1"'],
  ['a UNION', "sessionid=' UNION SELECT session_key, session_data, expire_date FROM django_session -- "],
  ['wild cards of LIKE', `sessionid=${'_'.repeat(32)}`],
  ['a wild card of LIKE', 'sessionid=%%%%%%%%'],
  ['placeholders', 'sessionid=????????$1$2:name??'],
  ['a name of JavaScript', 'sessionid=__proto__; __proto__=constructor'],
  ['another name of JavaScript', 'sessionid=constructor'],
  ['an emoji', utf8('sessionid=😀😀😀😀😀😀😀😀')],
  ['half a character', 'sessionid=\xf0\x9f\x98\xf0\x9f\x98\xf0\x9f\x98'],
  ['bytes that are not UTF-8', 'sessionid=\xff\xfe\xc0\x80\xed\xa0\xbd\xed\xb8\x80'],
  [
    'every byte of latin-1 from 160',
    `sessionid=${String.fromCharCode(...Array.from({ length: 96 }, (_, i) => i + 160))}`,
  ],
  ...['\0', '\x01', '\x08', '\x1f', '\x7f', '\r', '\n', '\x0b'].map(
    (control) =>
      [`the control character ${control.charCodeAt(0)}`, `sessionid=${KEY}${control}`, 400] as [
        string,
        string,
        number,
      ],
  ),
]

/** Cookie headers that Django reads as the key of this visitor. */
const visitors: [name: string, header: string][] = [
  ['the key', `sessionid=${KEY}`],
  ['the key in quotes', `sessionid="${KEY}"`],
  ['the key with an octal escape', `sessionid="\\141${KEY.slice(1)}"`],
  ['the key with spaces around it', `  sessionid \t= ${KEY}\t; a=b`],
  ['the key as the last of two', `sessionid=abcdefgh; sessionid=${KEY}`],
]

const codec = createSessionCodec({
  secretKeys: [SECRET_KEY],
  profile: versionProfile('5.2'),
  now: () => new Date(),
})

for (const database of testDatabases) {
  const file = fileScope(test)
  let site: Site
  test.serial.before(`${database} holds other people's sessions`, async () => {
    site = await startSite(file, database)
    const session_data = codec.encode(new Map([['num_visits', '41']]))
    for (const session_key of [KEY, ...BAIT]) {
      await site
        .db('django_session')
        .insert({ session_key, session_data, expire_date: '2999-01-01 00:00:00' })
    }
  })

  for (const [name, header, status = 200] of strangers) {
    test.serial(`${database}: a cookie with ${name} opens no session`, async (t) => {
      const { result, made, changed, gone } = await watch(site, () => visit(site.url, header))
      t.is(result.status, status)
      t.is(result.visits, status === 200 ? '1 time' : undefined)
      t.deepEqual({ changed, gone }, { changed: [], gone: [] })
      // A new visitor, under a key that the service has chosen.
      t.deepEqual(made, status === 200 ? [result.key] : [])
      for (const key of made) t.regex(key, /^[a-z0-9]{32}$/)
      const log = readLog(site)
      t.notRegex(log, /"level":"(warn|error)"/)
      for (const secret of [KEY, upper, ...made]) t.false(log.includes(secret))
    })
  }

  for (const [name, header] of visitors) {
    test.serial(`${database}: a cookie with ${name} opens its session`, async (t) => {
      const before = (await visit(site.url, `sessionid=${KEY}`)).visits ?? ''
      const { result, made, changed, gone } = await watch(site, () => visit(site.url, header))
      t.is(result.visits, `${Number.parseInt(before, 10) + 1} times`)
      t.deepEqual({ made, changed, gone }, { made: [], changed: [KEY], gone: [] })
      t.false(readLog(site).includes(KEY))
    })
  }

  test.serial(
    `${database}: a key that the column cannot represent does not affect other visitors`,
    async (t) => {
      if (database === 'mariadb' || database === 'mysql') {
        await site.db.raw('alter table django_session convert to character set latin1')
      }
      const [emoji, long] = [utf8('sessionid=😀😀😀😀😀😀😀😀'), `sessionid=${'k'.repeat(15_000)}`]
      const cookies = Array.from({ length: 50 }, (_, at) =>
        at === 17 ? emoji : at === 34 ? long : `sessionid=${'abcdefgh'.repeat(4)}`,
      )
      const answers = await Promise.all(cookies.map((cookie) => visit(site.url, cookie)))
      t.deepEqual(
        answers.map(({ status, visits }) => [status, visits]),
        cookies.map(() => [200, '1 time']),
      )
      t.notRegex(readLog(site), /"level":"(warn|error)"/)
    },
  )
}
