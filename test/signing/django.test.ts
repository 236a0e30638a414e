import { readFileSync } from 'node:fs'
import test from 'ava'
import * as signing from '../../src/signing/signing-exports.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'

const script = readFileSync(new URL('django.py', import.meta.url), 'utf8')

const SECRET = 'a key with ünïcode 🔑'
const OLD = 'the key before'

const VALUES: readonly (readonly [salt: string | null, separator: string, value: string])[] = [
  [null, ':', 'hello'],
  [null, ':', 'a:b:c'],
  [null, '::', 'a::b'],
  ['elsewhere', '/', ''],
  ['ünïcode', ':', '홍길동 😀'],
]

const OBJECTS = [
  null,
  'text',
  [1, 2.5, true, 'é', '😀'],
  { a: { b: [] }, __proto__: 1 },
  'x'.repeat(2000),
  '<>&\u2028"\\',
]

const COOKIES: readonly (readonly [name: string, value: string, salt: string])[] = [
  ['visit', 'now', ''],
  ['visit', 'a:b', 'salted'],
  ['v', 'x', 'isit'],
  ['name', 'ü', 'sält 😀'],
]

const HMACS = [
  ['salt', 'value', 'secret'],
  ['', '', 'ü'],
]

const SIGNERS = { Signer: signing.createSigner, TimestampSigner: signing.createTimestampSigner }

const USERS = [
  { pk: 1, password: 'pbkdf2_sha256$1$a$b', last_login: null, email: 'a@example.com' },
  { pk: 42, password: '!', last_login: 1_700_000_000.75, email: '' },
  { pk: '3f1d6c2e-0d8c-4f7f-9a63-0d9f9b1f0c11', password: 'x', last_login: 1_710_000_000, email: null },
]

type User = (typeof USERS)[number]

const userOf = ({ pk, password, last_login, email }: User): signing.PasswordResetUser => ({
  id: pk,
  password,
  lastLogin: last_login === null ? null : new Date(last_login * 1000),
  email,
})

interface Made {
  readonly sign: [string | null, string, string, string][]
  readonly stamped: [string | null, string, string, string][]
  readonly dumps: [string, boolean, string | null, string][]
  /** By `sign_object`, of Django 3.2 and newer. */
  readonly objects: [keyof typeof SIGNERS, string, string | null, string, string][] | null
  readonly cookies: [string, string, string, string][]
  readonly hmac: [string, string, string, string][]
  /** As `hmac`, with `algorithm`, of Django 3.1 and newer. */
  readonly sha256: [string, string, string, string][] | null
  readonly tokens: [User, string][]
}

async function askDjango(
  version: string,
  { ours, env }: { ours?: object; env?: Readonly<Record<string, string>> } = {},
): Promise<{ made: Made; read: Record<string, unknown[]> }> {
  const input = { values: VALUES, objects: OBJECTS, cookies: COOKIES, hmacs: HMACS, users: USERS, ours }
  const output = await djangoShell(version, {
    script,
    input: JSON.stringify(input),
    env: { SECRET_KEY: SECRET, ...env },
  })
  return JSON.parse(output)
}

/** Whether two tokens count the same time: to ten minutes, or before 3.1 to a day. */
const areOfOneTime = (token: string, other: string): boolean => {
  const [a, b] = [Number.parseInt(token, 36), Number.parseInt(other, 36)]
  return Math.abs(a - b) <= (a > 100_000 ? 600 : 1)
}

const isSince = (version: string, first: string): boolean =>
  version.localeCompare(first, 'en', { numeric: true }) >= 0

const withSalt = (salt: string | null) => (salt === null ? {} : { salt })

for (const djangoVersion of djangoVersions) {
  const site = { secretKeys: [SECRET] as const, djangoVersion }

  test(`what Django ${djangoVersion} signs is read`, async (t) => {
    const { made } = await askDjango(djangoVersion)
    for (const [salt, separator, value, text] of made.sign)
      t.is(signing.createSigner({ ...site, ...withSalt(salt), separator }).unsign(text), value)
    for (const [salt, separator, value, text] of made.stamped)
      t.is(
        signing
          .createTimestampSigner({ ...site, ...withSalt(salt), separator })
          .unsign(text, { maxAge: 1000 }),
        value,
      )
    t.is(made.dumps.length, OBJECTS.length * 4)
    for (const [json, , salt, text] of made.dumps)
      t.deepEqual(signing.loads(text, { ...site, ...withSalt(salt), maxAge: 1000 }), JSON.parse(json))
    for (const [name, value, salt, text] of made.cookies)
      t.is(signing.unsignCookie(name, text, { ...site, salt, maxAge: 1000 }), value)
    for (const [salt, value, digest, secret] of made.hmac)
      t.is(signing.saltedHmac(salt, value, { secret }).toString('hex'), digest)
    t.is(made.sha256?.length, isSince(djangoVersion, '3.1') ? HMACS.length : undefined)
    for (const [salt, value, digest, secret] of made.sha256 ?? [])
      t.is(signing.saltedHmac(salt, value, { secret, algorithm: 'sha256' }).toString('hex'), digest)
    t.is(made.objects?.length, isSince(djangoVersion, '3.2') ? OBJECTS.length * 8 : undefined)
    for (const [name, json, salt, separator, text] of made.objects ?? []) {
      const signer = SIGNERS[name]({ ...site, ...withSalt(salt), separator })
      t.deepEqual(signer.unsignObject(text), JSON.parse(json))
    }
    for (const [user, token] of made.tokens)
      t.true(signing.checkPasswordResetToken(userOf(user), token, site))
  })

  test(`what is signed here, Django ${djangoVersion} reads`, async (t) => {
    const ours = {
      sign: VALUES.map(([salt, separator, value]) => [
        salt,
        separator,
        signing.createSigner({ ...site, ...withSalt(salt), separator }).sign(value),
      ]),
      stamped: VALUES.map(([salt, separator, value]) => [
        salt,
        separator,
        signing.createTimestampSigner({ ...site, ...withSalt(salt), separator }).sign(value),
      ]),
      dumps: OBJECTS.flatMap((value) =>
        [true, false].map((compress) => [null, signing.dumps(value, { ...site, compress })]),
      ),
      objects: OBJECTS.flatMap((value) =>
        Object.entries(SIGNERS).flatMap(([name, create]) =>
          [true, false].map((compress) => {
            const signer = create({ ...site, salt: 'elsewhere', separator: '/' })
            return [name, 'elsewhere', '/', signer.signObject(value, { compress })]
          }),
        ),
      ),
      cookies: COOKIES.map(([name, value, salt]) => [
        name,
        salt,
        signing.signCookie(name, value, { ...site, salt }),
      ]),
      tokens: USERS.map((user) => [user, signing.makePasswordResetToken(userOf(user), site)]),
    }
    const { read } = await askDjango(djangoVersion, { ours })
    const values = VALUES.map(([, , value]) => ({ returns: value }))
    t.deepEqual(read, {
      sign: values,
      stamped: values,
      dumps: OBJECTS.flatMap((value) => [{ returns: value }, { returns: value }]),
      objects: isSince(djangoVersion, '3.2') && OBJECTS.flatMap((value) => Array(4).fill({ returns: value })),
      cookies: COOKIES.map(([, value]) => ({ returns: value })),
      tokens: USERS.map(() => true),
    })
  })

  for (const [useTz, timeZone] of [
    [true, 'Asia/Seoul'],
    [false, 'America/New_York'],
  ] as const)
    test(`tokens of Django ${djangoVersion} with USE_TZ=${useTz} in ${timeZone} are checked, and the reverse`, async (t) => {
      const zoned = { ...site, useTz, timeZone }
      const ours = {
        ...{ sign: [], stamped: [], dumps: [], objects: [], cookies: [] },
        tokens: USERS.map((user) => [user, signing.makePasswordResetToken(userOf(user), zoned)]),
      }
      const env = { USE_TZ: String(useTz), TIME_ZONE: timeZone }
      const { made, read } = await askDjango(djangoVersion, { ours, env })
      for (const [user, token] of made.tokens)
        t.true(areOfOneTime(token, signing.makePasswordResetToken(userOf(user), zoned)))
      for (const [user, token] of made.tokens)
        t.true(signing.checkPasswordResetToken(userOf(user), token, zoned))
      t.deepEqual(
        read.tokens,
        USERS.map(() => true),
      )
    })

  test(`an old key verifies as in Django ${djangoVersion}`, async (t) => {
    const old = { ...site, secretKeys: [OLD] as const }
    const rotated = { ...site, secretKeys: [SECRET, OLD] as const }
    const user = USERS[0] as User
    const [signed, dumped] = [signing.createSigner(old).sign('v'), signing.dumps(1, old)]
    const token = signing.makePasswordResetToken(userOf(user), old)
    const ours = {
      ...{ stamped: [], objects: [], cookies: [] },
      sign: [[null, ':', signed]],
      dumps: [[null, dumped]],
      tokens: [[user, token]],
    }
    const { read } = await askDjango(djangoVersion, {
      ours,
      env: { SECRET_KEY_FALLBACKS: JSON.stringify([OLD]) },
    })
    const outcome = (work: () => unknown): unknown => {
      try {
        return { returns: work() }
      } catch (error) {
        return { raises: error instanceof Error && error.name }
      }
    }
    t.deepEqual(read.sign, [outcome(() => signing.createSigner(rotated).unsign(signed))])
    t.deepEqual(read.dumps, [outcome(() => signing.loads(dumped, rotated))])
    t.deepEqual(read.tokens, [signing.checkPasswordResetToken(userOf(user), token, rotated)])
  })
}
