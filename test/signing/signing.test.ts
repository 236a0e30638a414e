import test from 'ava'
import * as signing from '../../src/signing/signing-exports.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const site = { secretKeys: ['key'] as const, djangoVersion: '5.2', now: () => NOW }
const later = (seconds: number) => ({ ...site, now: () => new Date(NOW.getTime() + seconds * 1000) })
const user: signing.PasswordResetUser = { id: 7, password: 'hash', lastLogin: NOW, email: 'a@example.com' }

test('a changed value, signature or salt is a BadSignature', (t) => {
  const signed = signing.createSigner(site).sign('value')
  for (const text of ['value', '', signed.slice(1), `${signed}x`, signed.replace('value', 'other')])
    t.throws(() => signing.createSigner(site).unsign(text), { instanceOf: signing.BadSignature })
  t.throws(() => signing.createSigner({ ...site, salt: 'other' }).unsign(signed), {
    code: 'ERR_BAD_SIGNATURE',
  })
})

test('a signature older than maxAge is a SignatureExpired; of exactly this age it is valid', (t) => {
  const signed = signing.createTimestampSigner(site).sign('value')
  t.is(signing.createTimestampSigner(later(60)).unsign(signed, { maxAge: 60 }), 'value')
  t.throws(() => signing.createTimestampSigner(later(61)).unsign(signed, { maxAge: 60 }), {
    instanceOf: signing.SignatureExpired,
  })
  t.throws(() => signing.loads(signing.dumps(1, site), { ...later(61), maxAge: 60 }), {
    instanceOf: signing.SignatureExpired,
  })
})

test('a separator that a signature may contain is refused', (t) => {
  for (const separator of ['', '-', 'abc', '=', '_', '^'])
    t.throws(() => signing.createSigner({ ...site, separator }), { instanceOf: TypeError }, separator)
})

test('a signed object larger than the limit is refused before it is parsed', (t) => {
  const text = signing.dumps('x'.repeat(100_000), { ...site, compress: true })
  t.true(text.length < 1000)
  t.throws(() => signing.loads(text, { ...site, maxInflatedBytes: 99_999 }), {
    instanceOf: signing.PayloadTooLarge,
  })
  t.is(String(signing.loads(text, site)).length, 100_000)
})

test('Signer.signObject has no timestamp, and reads its own', (t) => {
  const signer = signing.createSigner(site)
  const text = signer.signObject({ a: [1, 'é'] }, { compress: true })
  t.is(text.split(':').length, 2)
  t.deepEqual(signer.unsignObject(text), { a: [1, 'é'] })
})

test('the older salt of signed cookies is accepted by 5.2.15 and refused by 6.1, unless its setting says otherwise', (t) => {
  const old = signing.signCookie('visit', 'x', { ...site, djangoVersion: '5.2.14' })
  t.is(signing.unsignCookie('visit', old, { ...site, djangoVersion: '5.2.15' }), 'x')
  const newest = { ...site, djangoVersion: '6.1' }
  t.throws(() => signing.unsignCookie('visit', old, newest), { instanceOf: signing.BadSignature })
  t.is(signing.unsignCookie('visit', old, { ...newest, acceptsOlderSalt: true }), 'x')
  t.throws(
    () => signing.unsignCookie('visit', old, { ...site, djangoVersion: '6.0.6', acceptsOlderSalt: false }),
    { instanceOf: signing.BadSignature },
  )
})

test('the older salt lets a cookie pass for one of another name; the newer one does not', (t) => {
  const options = { ...site, salt: 'b' }
  const older = { ...options, djangoVersion: '5.2.14' }
  t.is(signing.unsignCookie('a', signing.signCookie('ab', 'x', { ...older, salt: '' }), older), 'x')
  t.throws(
    () => signing.unsignCookie('a', signing.signCookie('ab', 'x', { ...options, salt: '' }), options),
    {
      instanceOf: signing.BadSignature,
    },
  )
})

const CHANGES: readonly (readonly [string, Partial<signing.PasswordResetUser>])[] = [
  ['id', { id: 8 }],
  ['password', { password: 'new' }],
  ['last login', { lastLogin: new Date(NOW.getTime() + 1000) }],
  ['first login', { lastLogin: null }],
  ['e-mail address', { email: 'b@example.com' }],
]
for (const [what, change] of CHANGES)
  test(`a token ends when the user's ${what} changes`, (t) => {
    const token = signing.makePasswordResetToken(user, site)
    t.true(signing.checkPasswordResetToken(user, token, site))
    t.false(signing.checkPasswordResetToken({ ...user, ...change }, token, site))
  })

test('a token is valid for PASSWORD_RESET_TIMEOUT, three days by default', (t) => {
  const token = signing.makePasswordResetToken(user, site)
  t.true(signing.checkPasswordResetToken(user, token, later(259_200)))
  t.false(signing.checkPasswordResetToken(user, token, later(259_201)))
  t.false(signing.checkPasswordResetToken(user, token, { ...later(61), timeout: 60 }))
})

test('before 3.1 a token counts days', (t) => {
  const old = { ...site, djangoVersion: '2.2' }
  const token = signing.makePasswordResetToken(user, old)
  t.is(token.split('-')[0]?.length, 3)
  t.true(
    signing.checkPasswordResetToken({ ...user, email: 'other' }, token, {
      ...later(259_200),
      djangoVersion: '2.2',
    }),
  )
  t.false(signing.checkPasswordResetToken(user, token, { ...later(4 * 86_400), djangoVersion: '2.2' }))
})

for (const token of [
  '',
  '-',
  'abc',
  `${'z'.repeat(14)}-00`,
  'A1B2C3-00',
  '1-2-3',
  'ab-',
  '-ab',
  ' 1-ab',
  '1_0-ab',
])
  test(`what is not a token is refused: ${JSON.stringify(token)}`, (t) => {
    t.false(signing.checkPasswordResetToken(user, token, site))
  })
