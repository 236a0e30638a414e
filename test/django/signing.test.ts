import { deflateSync, gzipSync } from 'node:zlib'
import test from 'ava'
import { parseValue, stringifyValue } from '../../src/django/json.ts'
import {
  BadPayload,
  BadSignature,
  b62Decode,
  b62Encode,
  createSigner,
  decodeBase64,
  dumps,
  loads,
  PayloadTooLarge,
  SignatureExpired,
  type Signer,
  sign,
  unsign,
} from '../../src/django/signing.ts'
import {
  clock,
  labels,
  profileOf,
  readVectors,
  type SigningVector,
  secretKeyOf,
} from '../vectors/_vectors.ts'

const FROZEN = 1_700_000_000
const now = clock(FROZEN)

for (const label of labels) {
  const vectors = readVectors(label)
  const algorithms = profileOf(label).signatureAlgorithms
  const signerOf = (vector: SigningVector) =>
    createSigner({
      secretKeys: [secretKeyOf(vector)],
      salt: vector.effectiveSalt ?? vector.salt ?? '',
      algorithms,
    })

  test(`values signed by ${label} are signed in the same way here, and verified`, (t) => {
    for (const vector of vectors.signing) {
      const signer = signerOf(vector)
      const { obj: json = '', input = '' } = vector
      const message = `${vector.fn} ${vector.name ?? vector.input} ${vector.salt} ${vector.timestamp}`
      if (vector.fn === 'signing.dumps') {
        const ours = dumps(signer, json, {
          compress: vector.compress ?? false,
          now: clock(vector.timestamp ?? 0),
        })
        if (!vector.value.startsWith('.')) t.is(ours, vector.value, message)
        t.is(loads(signer, ours, { now }).value, json, message)
        t.is(loads(signer, vector.value, { now }).value, json, message)
      } else if (vector.fn === 'TimestampSigner.sign') {
        t.is(sign(signer, input, { now }), vector.value, message)
        t.is(unsign(signer, vector.value, { now }).value, input, message)
      } else {
        t.is(signer.sign(input), vector.value, message)
        t.is(signer.unsign(vector.value).value, input, message)
      }
    }
  })

  test(`a value signed by ${label} expires at the same time here`, (t) => {
    const signer = createSigner({ secretKeys: ['secret'], salt: 'django.core.signing', algorithms })
    const signed = dumps(signer, '"x"', { now })
    for (const { max_age, elapsed, returns } of vectors.maxAge) {
      const load = () => loads(signer, signed, { maxAge: max_age, now: clock(FROZEN + elapsed) })
      if (returns === undefined)
        t.throws(load, { instanceOf: SignatureExpired, code: 'ERR_SIGNATURE_EXPIRED' })
      else t.is(load().value, returns)
    }
  })

  test(`base 62 is written and parsed as by ${label}`, (t) => {
    for (const [integer, text] of vectors.b62.encode) {
      t.is(b62Encode(BigInt(integer)), text)
      t.is(b62Decode(text), BigInt(integer))
    }
    for (const { input, returns } of vectors.b62.decode) {
      if (returns === undefined) t.throws(() => b62Decode(input), { instanceOf: BadPayload }, input)
      else t.is(b62Decode(input), BigInt(returns), input)
    }
  })

  test(`cookies of the signed_cookies engine of ${label} are read here`, (t) => {
    for (const vector of vectors.signedCookiesEngine) {
      const signer = createSigner({ secretKeys: [secretKeyOf(vector)], salt: vector.salt, algorithms })
      const { value } = loads(signer, vector.cookieValue, { maxAge: 0, now: clock(vector.timestamp) })
      t.is(value, vector.json, vector.name)
      t.is(stringifyValue(parseValue(value)), vector.json, vector.name)
    }
  })
}

test('values signed with SHA-1 are accepted as 3.2, and rejected as 4.2', (t) => {
  const {
    value,
    obj = '',
    ...vector
  } = readVectors('django-2.2').signing.find(({ fn }) => fn === 'signing.dumps') ?? t.fail()
  const reader = (label: string): Signer =>
    createSigner({
      secretKeys: [secretKeyOf(vector)],
      salt: 'django.core.signing',
      algorithms: profileOf(label).signatureAlgorithms,
    })
  t.is(loads(reader('django-3.2'), value, { now }).value, obj)
  t.is(loads(reader('django-3.2-sha1'), value, { now }).value, obj)
  t.throws(() => loads(reader('django-4.2'), value, { now }), { code: 'ERR_BAD_SIGNATURE' })
})

const signer = createSigner({ secretKeys: ['new', 'old'], salt: 'salt' })

test('a fallback key verifies but never signs', (t) => {
  const old = createSigner({ secretKeys: ['old'], salt: 'salt' })
  t.deepEqual(signer.unsign(old.sign('value')), { value: 'value', keyIndex: 1 })
  t.deepEqual(signer.unsign(signer.sign('value')), { value: 'value', keyIndex: 0 })
  t.throws(() => old.unsign(signer.sign('value')), { instanceOf: BadSignature })
})

test('a signature is compared to its last character', (t) => {
  const signed = signer.sign('value')
  const last = signed.at(-1) === 'A' ? 'B' : 'A'
  for (const forged of [
    signed.slice(0, -1) + last,
    signed.slice(0, -1),
    `${signed}=`,
    `${signed}\u{1f600}`,
    'value:',
    '',
  ]) {
    t.throws(() => signer.unsign(forged), { instanceOf: BadSignature, code: 'ERR_BAD_SIGNATURE' })
  }
})

test('a character that latin-1 would truncate to the right one does not match', (t) => {
  const signed = signer.sign('value')
  const forged = signed.slice(0, -1) + String.fromCharCode(0x100 + signed.charCodeAt(signed.length - 1))
  t.throws(() => signer.unsign(forged), { instanceOf: BadSignature })
})

test('a signed value that cannot be parsed is BadPayload', (t) => {
  const gzip = gzipSync('{}').toString('base64url')
  for (const payload of ['A', '.', '.AAAA', `.${gzip}`]) {
    t.throws(
      () => loads(signer, sign(signer, payload, { now }), { now }),
      { code: 'ERR_BAD_PAYLOAD' },
      payload,
    )
  }
  t.throws(() => unsign(signer, signer.sign('no stamp'), { now }), { instanceOf: BadPayload })
})

test('decompression stops at the limit', (t) => {
  const signed = dumps(signer, `"${'a'.repeat(998)}"`, { compress: true, now })
  t.is(loads(signer, signed, { now, maxInflatedBytes: 1000 }).value.length, 1000)
  t.throws(() => loads(signer, signed, { now, maxInflatedBytes: 999 }), {
    instanceOf: PayloadTooLarge,
    code: 'ERR_PAYLOAD_TOO_LARGE',
  })
})

// A text and the result of CPython's base64.b64decode in hexadecimal, or null where it raises binascii.Error.
const base64: [string, string | null][] = [
  ['', ''],
  ['QUJD', '414243'],
  ['QUI=', '4142'],
  ['QQ==', '41'],
  ['QUI', null],
  ['QQ', null],
  ['Q', null],
  ['Q===', null],
  ['QQ=', null],
  ['=', ''],
  ['====', ''],
  ['QUJD=', '414243'],
  ['=QUJD', '414243'],
  ['Q=UJD', '414243'],
  ['QQ==QUJD', '41'],
  ['QQ=\n=QUJD', '41'],
  ['QU=JD', '414243'],
  ['QQ=Q=', '4104'],
  ['QUI=QUI=', '4142'],
  ['QQ=QUJD=', null],
  ['Q U\nJ D', '414243'],
  ['-_QUJD', '414243'],
  ['QUJ-D', '414243'],
  ['QUJDQ', null],
  ['QR==', '41'],
]
test('base64 is decoded as leniently as by CPython', (t) => {
  for (const [text, hex] of base64) {
    if (hex === null) t.throws(() => decodeBase64(text), { instanceOf: BadPayload }, text)
    else t.is(decodeBase64(text).toString('hex'), hex, text)
  }
})

test('short text is compressed exactly where deflate makes it shorter', (t) => {
  const now = () => new Date()
  let compressed = 0
  for (let run = 0; run < 20_000; run += 1) {
    const alphabet = ['01', 'abc', '0123456789', 'aä"{}:,'][run % 4] ?? ''
    const text = Array.from({ length: 1 + (run % 40) }, () =>
      alphabet.charAt(Math.random() * alphabet.length),
    )
    const json = JSON.stringify(text.join(''))
    const isCompressed = dumps(signer, json, { compress: true, now }).startsWith('.')
    const data = Buffer.from(json, 'latin1')
    t.is(isCompressed, deflateSync(data).length < data.length - 1, json)
    if (isCompressed) compressed += 1
  }
  t.true(compressed > 1000, String(compressed))
})
