import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import {
  type CookieSettings,
  deleteCookie,
  readCookie,
  varyOnCookie,
  setCookie as writeCookie,
} from '../../src/django/cookie.ts'
import { versionProfile } from '../../src/django/versions.ts'

interface Row<Result> {
  input: string
  /** One entry for each Django version. */
  results: Result[]
}

interface CookieTable {
  djangos: string[]
  headers: Row<string | null>[]
  values: Row<string>[]
  vary: Row<string>[]
}

interface MiddlewareCase {
  name: string
  op?: string
  settings?: Record<string, string>
  sentCookie?: string | null
  status: string
  setCookie: string[]
  vary: string[]
  body: string
}

const VERSIONS = ['2.2', '3.2', '4.2', '5.2', '6.1']
const LAX: CookieSettings = {
  name: 'sessionid',
  domain: null,
  path: '/',
  secure: false,
  httpOnly: true,
  sameSite: 'Lax',
}
/** The arguments with which the views of the measured site call set_expiry. */
const AGES: Record<string, number> = { exp300: 300, expneg: -10, expfloat: 90.7 }
const NOW = new Date('2026-11-23T08:25:12.345Z')

const table = readJson<CookieTable>('vectors/cookies.json')

const takesTheSame = test.macro<[string, number]>({
  title: (_, django) =>
    `the same session cookie is read as by Django ${django}, from ${table.headers.length} headers`,
  exec(t, _django, index) {
    for (const { input, results } of table.headers) {
      t.is(readCookie(input, 'sessionid') ?? null, results[index] ?? null, JSON.stringify(input))
    }
  },
})

const quotesTheSame = test.macro<[string, number]>({
  title: (_, django) => `values are quoted, and Vary is merged, as Django ${django} does`,
  exec(t, django, index) {
    const profile = versionProfile(django)
    const bare = { ...LAX, path: '', httpOnly: false, sameSite: null }
    for (const { input, results } of table.values) {
      t.is(
        writeCookie(bare, input, { maxAge: null, now: NOW, profile }),
        results[index] ?? '',
        JSON.stringify(input),
      )
    }
    for (const { input, results } of table.vary) {
      t.is(varyOnCookie(input, profile), results[index] ?? '', input)
    }
  },
})

for (const [index, django] of table.djangos.entries()) {
  test(takesTheSame, django, index)
  test(quotesTheSame, django, index)
}

const sendsTheSame = test.macro<[string, MiddlewareCase]>({
  title: (_, version, { name }) => `Django ${version} sends the same Set-Cookie: ${name}`,
  exec(t, version, { name, op = '', settings = {}, status, setCookie }) {
    const profile = versionProfile(version)
    // The table writes Python's None and 'None' alike; the first sends no SameSite.
    const sendsNone = name !== 'SAMESITE None'
    const cookie = sendsNone ? cookieSettings(settings) : { ...cookieSettings(settings), sameSite: null }
    const atBrowserClose =
      op === 'exp0' || (settings.SESSION_EXPIRE_AT_BROWSER_CLOSE === 'True' && !(op in AGES))
    const maxAge = atBrowserClose ? null : (AGES[op] ?? Number(settings.SESSION_COOKIE_AGE ?? 1209600))

    if (status.startsWith('500') && cookie.sameSite === 'None') {
      t.throws(() => writeCookie(cookie, 'k', { maxAge, now: NOW, profile }), {
        code: 'ERR_COOKIE_SAMESITE',
      })
      t.throws(() => deleteCookie(cookie, profile), { code: 'ERR_COOKIE_SAMESITE' })
      return
    }
    const text = setCookie[0]?.trim() ?? ''
    if (text.includes('=""')) {
      t.is(deleteCookie(cookie, profile), text)
      return
    }
    const [, key = ''] = /^[^=]+=(\w{32});/.exec(text) ?? []
    const [, expires] = /expires=([^;]+)/.exec(text) ?? []
    // The measured site's clock is what its cookie says, to the second.
    const now = expires === undefined ? NOW : new Date(Math.ceil(Date.parse(expires) - (maxAge ?? 0) * 1000))
    t.is(writeCookie(cookie, key, { maxAge, now, profile }), text)
  },
})

const reads = test.macro<[string, MiddlewareCase]>({
  title: (_, version, { name }) => `Django ${version} reads the same session key: ${name}`,
  exec(t, _version, { sentCookie, body }) {
    t.is(readCookie(sentCookie ?? undefined, 'sessionid') ?? null, JSON.parse(body))
  },
})

for (const version of VERSIONS) {
  const cases = readJson<MiddlewareCase[]>(`measured/middleware-${version}.json`)
  const withCookie = cases.filter(
    ({ setCookie, status, settings }) => setCookie.length > 0 || isRefused(status, settings),
  )
  if (withCookie.length < 30) throw new Error(`only ${withCookie.length} cookies of Django ${version}`)
  for (const measuredCase of withCookie) test(sendsTheSame, version, measuredCase)
  for (const measuredCase of cases) {
    const { op, sentCookie } = measuredCase
    if (op === 'key' && sentCookie?.includes('=') && sentCookie !== 'valid')
      test(reads, version, measuredCase)
  }
}

test('Vary is merged as the measured sites merged it', (t) => {
  for (const version of VERSIONS) {
    const cases = readJson<MiddlewareCase[]>(`measured/middleware-${version}.json`)
    const varyOf = (op: string) => cases.find((measuredCase) => measuredCase.op === op)?.vary
    const profile = versionProfile(version)
    t.deepEqual(varyOf('read'), [varyOnCookie('', profile)])
    t.deepEqual(varyOf('vary'), [varyOnCookie('Accept-Encoding, cookie', profile)])
    t.deepEqual(varyOf('varystar'), [varyOnCookie('Accept, *', profile)])
  }
})

test('Vary keeps other names in order and drops empty ones', (t) => {
  const profile = versionProfile('5.2')
  t.is(varyOnCookie('Accept-Language,  Accept-Encoding', profile), 'Accept-Language, Accept-Encoding, Cookie')
  t.is(varyOnCookie(' Accept, , Origin,', profile), 'Accept, Origin, Cookie')
})

test('a cookie with an impossible key is deleted with the same Set-Cookie as by Django', (t) => {
  let seen = 0
  for (const file of readdirSync(new URL('../measured/', import.meta.url))) {
    const version = /^keys-([\d.]+)-/.exec(file)?.[1]
    if (version === undefined) continue
    const deletion = deleteCookie(LAX, versionProfile(version)).replace(/expires=[^;]+/, 'expires=..')
    for (const [name, row] of Object.entries(
      readJson<Record<string, Partial<MiddlewareCase>>>(`measured/${file}`),
    )) {
      if (!name.startsWith('http: ')) continue
      for (const text of row.setCookie ?? []) {
        seen++
        t.is(text.trim(), deletion, `${file}: ${name}`)
      }
    }
  }
  t.true(seen > 100, `${seen}`)
})

test('without a header there is no cookie, and a cookie name must match exactly', (t) => {
  t.is(readCookie(undefined, 'sessionid'), undefined)
  t.is(readCookie('', 'sessionid'), undefined)
  t.is(readCookie('SESSIONID=abcdefgh; xsessionid=1; sessionid', 'sessionid'), undefined)
  t.is(readCookie('sessionid=', 'sessionid'), '')
})

test('a header made of spaces is parsed in linear time', (t) => {
  t.is(readCookie(`a${' '.repeat(2_000_000)}b=1; sessionid=abcdefgh`, 'sessionid'), 'abcdefgh')
})

test('a deletion is marked Secure only where browsers require it', (t) => {
  const profile = versionProfile('5.2')
  const { name, ...rest } = { ...LAX, secure: true }
  t.false(deleteCookie({ name, ...rest }, profile).includes('Secure'))
  for (const prefixed of ['__Host-sid', '__Secure-sid']) {
    t.regex(deleteCookie({ name: prefixed, ...rest }, profile), /; Secure$/)
  }
  t.regex(deleteCookie({ ...LAX, sameSite: 'None' }, profile), /; SameSite=None; Secure$/)
})

test('Max-Age is an integer since 3.2, and expires is truncated to the second', (t) => {
  const cookie = (maxAge: number, version: string) =>
    writeCookie(LAX, 'abcdefgh', { maxAge, now: NOW, profile: versionProfile(version) })
  t.is(cookie(0.9, '2.2').match(/Max-Age=[^;]+/)?.[0], 'Max-Age=0.9')
  t.is(cookie(0.9, '3.2').match(/Max-Age=[^;]+/)?.[0], 'Max-Age=0')
  t.is(cookie(-0.9, '3.2').match(/Max-Age=[^;]+/)?.[0], 'Max-Age=0')
  t.is(cookie(0.6, '3.2').match(/expires=[^;]+/)?.[0], 'expires=Mon, 23 Nov 2026 08:25:12 GMT')
  t.is(cookie(0.7, '3.2').match(/expires=[^;]+/)?.[0], 'expires=Mon, 23 Nov 2026 08:25:13 GMT')
  for (const endless of [NaN, Infinity, 1.7e12])
    t.throws(() => cookie(endless, '5.2'), { code: 'ERR_SESSION_EXPIRY' })
})

function cookieSettings({
  SESSION_COOKIE_NAME: name = 'sessionid',
  SESSION_COOKIE_DOMAIN: domain = '',
  SESSION_COOKIE_PATH: path = '/',
  SESSION_COOKIE_SECURE: secure = 'False',
  SESSION_COOKIE_HTTPONLY: httpOnly = 'True',
  SESSION_COOKIE_SAMESITE: sameSite = 'Lax',
}: Record<string, string>): CookieSettings {
  return {
    name,
    domain: domain === '' ? null : domain,
    path,
    secure: secure === 'True',
    httpOnly: httpOnly === 'True',
    sameSite: sameSite === 'Lax' || sameSite === 'Strict' || sameSite === 'None' ? sameSite : null,
  }
}

function isRefused(status: string, settings: Record<string, string> | undefined): boolean {
  return status.startsWith('500') && settings?.SESSION_COOKIE_SAMESITE === 'None'
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'))
}
