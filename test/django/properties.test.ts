import test from 'ava'
import fc from 'fast-check'
import {
  canonicalize,
  type PythonValue,
  parseObject,
  parseValue,
  type SessionData,
  stringifyObject,
  stringifyValue,
} from '../../src/django/json.ts'
import { createSessionCodec, UnreadableSession } from '../../src/django/session-data.ts'
import { createSigner, sign } from '../../src/django/signing.ts'
import { clock, labels, profileOf } from '../vectors/_vectors.ts'

const now = clock(1_700_000_000)

/** Any string of UTF-16 units, including lone surrogates. */
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('__proto__', 'constructor', '10', '2', ''),
)

const value: fc.Arbitrary<PythonValue> = fc.letrec<{ value: PythonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.bigInt().filter((integer) => !Number.isSafeInteger(Number(integer))),
    text,
    fc.array(tie('value')),
    fc.array(fc.tuple(text, tie('value'))).map(objectOf),
  ),
})).value

/** Object.fromEntries defines own properties, including `__proto__`. */
function objectOf(members: [string, PythonValue][]): { [key: string]: PythonValue } {
  return Object.fromEntries(members)
}

/** Session data as another program could write it: spaces, latin-1, escapes that Python does not use. */
const data: fc.Arbitrary<SessionData> = fc
  .array(fc.tuple(text, value))
  .map((members) => new Map(members.map(([key, member]) => [key, stringifyValue(member)])))
const foreignJson = fc.json({ stringUnit: 'binary' }).map((json) => json.replace(/[^\0-\xff]/g, '\xe9'))

for (const label of labels) {
  const codec = createSessionCodec({ secretKeys: ['secret'], profile: profileOf(label), now })

  test(`data encoded for ${label} decodes to the same data in the same order`, (t) => {
    fc.assert(
      fc.property(data, (session) => {
        t.deepEqual([...codec.decode(codec.encode(session)).data], [...session])
      }),
    )
  })

  test(`as ${label}, any text is read or rejected`, (t) => {
    const signer = createSigner({
      secretKeys: ['secret'],
      salt: 'django.contrib.sessions.SessionStore',
      algorithms: profileOf(label).signatureAlgorithms,
    })
    const base64 = fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url'))
    const payload = fc.oneof(
      text,
      base64,
      base64.map((part) => `.${part}`),
    )
    const row = fc.oneof(
      text,
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
      payload.map((part) => sign(signer, part, { now })),
      payload.map((part) => signer.sign(part)),
      fc.string().map((json) => codec.encode(new Map([['key', json]]))),
    )
    fc.assert(
      fc.property(row, (sessionData) => {
        try {
          t.truthy(codec.decode(sessionData).data)
        } catch (error) {
          t.true(error instanceof UnreadableSession)
        }
      }),
    )
  })
}

test('written JSON is canonical', (t) => {
  fc.assert(
    fc.property(value, (any) => {
      const json = stringifyValue(any)
      t.is(canonicalize(json), json)
      t.regex(json, /^[ -~]*$/)
    }),
  )
})

test('a written value is parsed to itself', (t) => {
  fc.assert(
    fc.property(value, (any) => {
      t.deepEqual(parseValue(stringifyValue(any)), any)
    }),
  )
})

test('JSON is parsed as by JavaScript, and a map of texts loses nothing', (t) => {
  fc.assert(
    fc.property(foreignJson, (json) => {
      t.is(stringifyValue(JSON.parse(canonicalize(json))), stringifyValue(JSON.parse(json)))
      const object = `{"first": ${json} , "second":${json}}`
      t.is(stringifyObject(parseObject(object)), `{"first":${json.trim()},"second":${json.trim()}}`)
    }),
  )
})

test('any text is parsed, or rejected with a JSONDecodeError', (t) => {
  const brackets = fc.string({ unit: fc.constantFrom(...'{}[]:,"\\u0aedtnN-.1 ') })
  fc.assert(
    fc.property(fc.oneof(text, brackets), (any) => {
      for (const read of [parseObject, parseValue, canonicalize]) {
        try {
          t.not(read(any), undefined)
        } catch (error) {
          t.regex((error as Error).name, /^(JSONDecodeError|NotAnObject)$/)
        }
      }
    }),
  )
})
