import test from 'ava'
import { UnknownDjangoVersion, versionFromMigrations, versionProfile } from '../../src/django/versions.ts'

// From the source of each release (base.py, signing.py, middleware.py, cache.py, response.py).
const table: Record<string, Partial<ReturnType<typeof versionProfile>>> = {
  '2.2': {
    writes: 'legacy',
    reads: ['legacy'],
    hashAlgorithm: 'sha1',
    signatureAlgorithms: ['sha1'],
    usesFallbackKeys: false,
    storesIsoExpiry: false,
    variesOnCookieDeletion: false,
    variesOnCookieSet: false,
    knowsVaryStar: false,
    allowsSameSiteNone: false,
    truncatesMaxAge: false,
    useTzDefault: false,
  },
  '3.0': {
    writes: 'legacy',
    reads: ['legacy'],
    variesOnCookieDeletion: true,
    knowsVaryStar: true,
    allowsSameSiteNone: false,
  },
  '3.1': {
    writes: 'signed',
    reads: ['signed', 'legacy'],
    hashAlgorithm: 'sha256',
    signatureAlgorithms: ['sha256', 'sha1'],
    allowsSameSiteNone: true,
    truncatesMaxAge: false,
  },
  '3.2': { writes: 'signed', reads: ['signed', 'legacy'], truncatesMaxAge: true, usesFallbackKeys: false },
  '4.0': { writes: 'signed', reads: ['signed'], signatureAlgorithms: ['sha256'], usesFallbackKeys: false },
  '4.1': { usesFallbackKeys: true, storesIsoExpiry: true, useTzDefault: false },
  '4.2': {
    writes: 'signed',
    reads: ['signed'],
    hashAlgorithm: 'sha256',
    variesOnCookieSet: false,
    useTzDefault: false,
  },
  '5.0': { useTzDefault: true, variesOnCookieSet: false },
  '5.2.13': { variesOnCookieSet: false },
  '5.2.14': { variesOnCookieSet: true },
  '5.2': { variesOnCookieSet: true },
  '6.0.4': { variesOnCookieSet: false },
  '6.0.5': { variesOnCookieSet: true },
  '6.1': { variesOnCookieSet: true },
}
for (const [version, rules] of Object.entries(table)) {
  test(`the rules of Django ${version} are known`, (t) => {
    t.like({ ...versionProfile(version) }, rules)
  })
}

// From csrf.py of each release.
const csrfTable: Record<string, ReturnType<typeof versionProfile>['csrf']> = {
  '2.2': { storesMasked: true, masksBareCookie: false, namesMalformed: false, checksOrigin: false },
  '3.2': { storesMasked: true, masksBareCookie: false, namesMalformed: false, checksOrigin: false },
  '4.0': { storesMasked: true, masksBareCookie: true, namesMalformed: true, checksOrigin: true },
  '4.1': { storesMasked: false, masksBareCookie: false, namesMalformed: true, checksOrigin: true },
  '6.1': { storesMasked: false, masksBareCookie: false, namesMalformed: true, checksOrigin: true },
}
for (const [version, rules] of Object.entries(csrfTable)) {
  test(`the CSRF rules of Django ${version} are known`, (t) => {
    t.deepEqual(versionProfile(version).csrf, rules)
  })
}

// From storage/cookie.py and storage/session.py of each release.
const messagesTable: Record<string, ReturnType<typeof versionProfile>['messages']> = {
  '3.0': { cookieFormats: ['hash'], spacesSession: false, writesEmptyTags: false },
  '3.1': { cookieFormats: ['signed-json', 'hash'], spacesSession: false, writesEmptyTags: false },
  '3.2': { cookieFormats: ['signed', 'signed-json', 'hash'], spacesSession: true, writesEmptyTags: false },
  '4.0': { cookieFormats: ['signed', 'signed-json'], spacesSession: true, writesEmptyTags: false },
  '4.1': { cookieFormats: ['signed'], spacesSession: true, writesEmptyTags: true },
  '6.1': { cookieFormats: ['signed'], spacesSession: true, writesEmptyTags: true },
}
for (const [version, rules] of Object.entries(messagesTable)) {
  test(`the rules for messages of Django ${version} are known`, (t) => {
    t.deepEqual(versionProfile(version).messages, rules)
  })
}

test("DEFAULT_HASHING_ALGORITHM='sha1' makes 3.1 and 3.2 write as 3.0 did, and read SHA-1 only", (t) => {
  for (const version of ['3.1', '3.2.25']) {
    t.like(
      { ...versionProfile(version, { defaultHashingAlgorithm: 'sha1' }) },
      { writes: 'legacy', reads: ['signed', 'legacy'], hashAlgorithm: 'sha1', signatureAlgorithms: ['sha1'] },
    )
  }
  t.is(versionProfile('4.2', { defaultHashingAlgorithm: 'sha1' }).writes, 'signed')
})

test('a server error saves nothing: 500 before 4.2, every 5xx since', (t) => {
  const saved = (version: string) => [200, 404, 500, 503].filter(versionProfile(version).savesSession)
  t.deepEqual(saved('4.1'), [200, 404, 503])
  t.deepEqual(saved('4.2'), [200, 404])
})

test('versions are parsed as Django prints them', (t) => {
  for (const version of ['5.2', '5.2.14', ' 6.1 ', '6.1rc1', '10.0'])
    t.is(versionProfile(version).version, version)
  for (const version of ['', 'five', '5', '1.11', '2.1.15']) {
    t.throws(
      () => versionProfile(version),
      { instanceOf: UnknownDjangoVersion, code: 'ERR_DJANGO_VERSION' },
      version,
    )
  }
})

test('without DJANGO_VERSION the version is derived from the migrations', (t) => {
  const auth = (...names: string[]) => names.map((name) => ({ app: 'auth', name }))
  t.deepEqual(versionFromMigrations(auth('0001_initial', '0011_update_proxy_permissions')), {
    version: '2.2',
    range: ['2.2', '3.0'],
  })
  t.deepEqual(versionFromMigrations(auth('0012_alter_user_first_name_max_length', '0001_initial')), {
    version: '6.1',
    range: ['3.1', '6.1'],
  })
  // A Django before 2.2, or no Django: no result.
  t.is(versionFromMigrations(auth('0001_initial', '0010_alter_group_name_max_length')), null)
  t.is(versionFromMigrations([{ app: 'sessions', name: '0001_initial' }]), null)
})

test('each version has its own cache backends, and every backend outside Django', (t) => {
  const { hasCacheBackend } = versionProfile('3.2')
  t.false(hasCacheBackend('django.core.cache.backends.redis.RedisCache'))
  t.true(hasCacheBackend('django_redis.cache.RedisCache'))
})
