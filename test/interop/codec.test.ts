import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { canonicalize, parseObject, stringifyObject } from '../../src/django/json.ts'
import { createSessionCodec, type SessionCodec } from '../../src/django/session-data.ts'
import { type DjangoCodec, djangoShell, djangoVersions, startCodec } from '../support/django.ts'
import { labels, profileOf, readVectors, secretKeyOf } from '../vectors/_vectors.ts'
import { secretKey } from './sites.ts'

const RUNS = 300

/** Numbers as Python writes them, and other notations that Python reads. */
const number = fc.oneof(
  fc.maxSafeInteger().map(String),
  fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n }).map(String),
  fc
    .double()
    .map((double) => (Number.isInteger(double) ? `${double}.0`.replace(/(e.*)\.0$/, '$1') : `${double}`)),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((double) => double.toExponential().toUpperCase()),
  fc.constantFrom(
    '1.0',
    '-0.0',
    '-0',
    '1e22',
    '1E400',
    '-1e-400',
    'NaN',
    'Infinity',
    '-Infinity',
    '9007199254740993',
  ),
)

/** Any string of UTF-16 units, including lone surrogates, as JSON: fully, partly or minimally escaped. */
const units = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.nat(0xffff)).map((codes) => String.fromCharCode(...codes)),
  fc.constantFrom('__proto__', 'constructor', '10', '2', '', '홍길동', '😀', '\ud83d'),
)
const text = fc
  .tuple(units, fc.boolean())
  .map(([string, isEscaped]) =>
    isEscaped ? `"${string.replace(/[\s\S]/g, escaped)}"` : JSON.stringify(string),
  )

const { object } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('null', 'true', 'false'),
    number,
    text,
    tie('array'),
    tie('object'),
  ),
  array: fc.array(tie('value')).map((values) => `[${values.join(', ')}]`),
  object: fc
    .array(fc.tuple(text, tie('value')))
    .map((members) => `{${members.map(([key, value]) => `${key} : ${value}`).join(',\n')}}`),
}))

/** The profiles of the vectors, each with the settings with which a Django of this run behaves like it. */
const configurations = labels
  .map((label) => {
    const [, version = '', algorithm] = label.split('-')
    const settings = algorithm === undefined ? {} : { DEFAULT_HASHING_ALGORITHM: algorithm }
    return { label, version, settings }
  })
  .filter(({ version }) => djangoVersions.includes(version))

for (const { label, version, settings } of configurations) {
  test(`real ${label} decodes any dictionary that ours encodes, and the reverse`, async (t) => {
    const codecs = {
      ours: createSessionCodec({ secretKeys: [secretKey], profile: profileOf(label), now: () => new Date() }),
      django: await startCodec(t, { version, secretKey, settings }),
    }
    await fc.assert(
      fc.asyncProperty(object, (json) => travels(t, json, codecs)),
      { numRuns: RUNS },
    )
  })

  test(`real ${label} decodes every vector that ours encodes, with every key and store class`, async (t) => {
    const vectors = readVectors(label).sessions.map((vector) => {
      // The salts: `…sessionsMyStore` in the old format, `…sessions.Outer.Inner` in the new one.
      const storeClass = vector.salt.replace(/^django\.contrib\.sessions\.?/, '')
      const options = { secretKeys: [secretKeyOf(vector)] as const, profile: profileOf(label), storeClass }
      const codec = createSessionCodec({ ...options, now: () => new Date() })
      const sessionData = codec.encode(parseObject(vector.json))
      return {
        name: vector.name,
        key: vector.secretKeyHex,
        isBytes: vector.secretKey === null,
        storeClass,
        sessionData,
      }
    })
    const output = await djangoShell(version, {
      env: settings,
      script: DECODE_EACH,
      input: JSON.stringify(vectors),
    })
    const expected = readVectors(label).sessions.map(({ name, decodesToJson }) => `${name}: ${decodesToJson}`)
    t.deepEqual(output.trimEnd().split('\n'), expected)
    t.true(expected.length > 80)
  })
}

test('each Django of this run has a profile that is tested', (t) => {
  for (const version of djangoVersions) t.true(configurations.some((each) => each.version === version))
})

async function travels(
  t: ExecutionContext,
  json: string,
  { ours, django }: { ours: SessionCodec; django: DjangoCodec },
): Promise<void> {
  const wanted = canonicalize(json)
  const data = parseObject(json.replace(/[^\0-\x7f]/g, escaped))
  t.is(await django.decode(ours.encode(data)), wanted)
  const { data: decoded } = ours.decode(await django.encode(json))
  t.is(stringifyObject(decoded), wanted)
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

const DECODE_EACH = `
import json, sys
from django.contrib.sessions.backends.db import SessionStore
from django.test.utils import override_settings
for vector in json.load(sys.stdin):
    key = bytes.fromhex(vector['key'])
    name = vector['storeClass']
    store = type(name.split('.')[-1], (SessionStore,), {'__qualname__': name})
    with override_settings(SECRET_KEY=key if vector['isBytes'] else key.decode()):
        data = store().decode(vector['sessionData'])
    print('%s: %s' % (vector['name'], json.dumps(data, separators=(',', ':'))))
`
