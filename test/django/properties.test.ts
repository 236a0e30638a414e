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

/** Any string of UTF-16 units, lone surrogates too. */
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

/** Object.fromEntries defines its members, `__proto__` too. */
function objectOf(members: [string, PythonValue][]): { [key: string]: PythonValue } {
  return Object.fromEntries(members)
}

/** Session data as another program may have written it: blanks, latin-1, escapes that Python would not choose. */
const data: fc.Arbitrary<SessionData> = fc
  .array(fc.tuple(text, value))
  .map((members) => new Map(members.map(([key, member]) => [key, stringifyValue(member)])))
const foreignJson = fc.json({ stringUnit: 'binary' }).map((json) => json.replace(/[^\0-\xff]/g, '\xe9'))

for (const label of labels) {
  const codec = createSessionCodec({ secretKeys: ['secret'], profile: profileOf(label), now })

  test(`decoding what was encoded for ${label} gives the same data in the same order`, (t) => {
    fc.assert(
      fc.property(data, (session) => {
        t.deepEqual([...codec.decode(codec.encode(session)).data], [...session])
      }),
    )
  })

  test(`as ${label}, any text at all is read or refused`, (t) => {
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

test('what is printed is canonical', (t) => {
  fc.assert(
    fc.property(value, (any) => {
      const json = stringifyValue(any)
      t.is(canonicalize(json), json)
      t.regex(json, /^[ -~]*$/)
    }),
  )
})

test('a printed value is parsed to itself', (t) => {
  fc.assert(
    fc.property(value, (any) => {
      t.deepEqual(parseValue(stringifyValue(any)), any)
    }),
  )
})

test('what JavaScript reads is read alike, and a map of texts loses nothing', (t) => {
  fc.assert(
    fc.property(foreignJson, (json) => {
      t.is(stringifyValue(JSON.parse(canonicalize(json))), stringifyValue(JSON.parse(json)))
      const object = `{"first": ${json} , "second":${json}}`
      t.is(stringifyObject(parseObject(object)), `{"first":${json.trim()},"second":${json.trim()}}`)
    }),
  )
})

test('any text is parsed, or refused by an error with a name', (t) => {
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
