import { runInNewContext } from 'node:vm'
import test from 'ava'
import {
  canonicalize,
  encodeJson,
  JSONDecodeError,
  MAX_INT_DIGITS,
  MAX_NESTING,
  MAX_WRITTEN_NESTING,
  NotAnObject,
  NotSerializable,
  type PythonValue,
  parseObject,
  parseValue,
  stringifyObject,
  stringifyValue,
} from '../../src/django/json.ts'
import { labels, readVectors } from '../vectors/_vectors.ts'

for (const label of labels) {
  test(`JSON written by ${label} is canonical, and survives as a map of texts`, (t) => {
    for (const { name, json, decodesToJson } of readVectors(label).sessions) {
      t.is(canonicalize(json), decodesToJson, name)
      t.is(stringifyObject(parseObject(decodesToJson)), decodesToJson, name)
    }
  })
}

test('values survive parsing and writing, except where JavaScript numbers lose the type', (t) => {
  for (const { name, decodesToJson } of readVectors('django-5.2').sessions) {
    // 1.0 becomes 1, 1e22 is beyond the safe integers and stays a float, keys like "10" move to the front.
    const expected = FLOATS_AS_INTS.get(name) ?? decodesToJson
    if (name !== 'numeric_keys_order') t.is(stringifyValue(parseValue(decodesToJson)), expected, name)
  }
})

const FLOATS_AS_INTS = new Map([
  ['float_integral', '{"one":1,"zero":0,"mzero":-0.0,"hundred":100}'],
  ['int_vs_float', '{"i":1,"f":1,"l":[1,1,true,"1"]}'],
  [
    'float_exponents',
    '{"a":1000000000000000,"b":1e+16,"c":1e+17,"d":1e+21,"e":1e+22,"f":0.0001,"g":1e-05,"h":1e-06,"i":1e-07,"j":1.5e+300,"k":5e-324}',
  ],
])

// Text, and the output of Python's json.dumps(json.loads(text), separators=(",", ":")).
const canonical: [string, string][] = [
  [' { "a" : 1 , "b" : [ ] , "c" : { } } \r\n\t', '{"a":1,"b":[],"c":{}}'],
  ['[NaN,Infinity,-Infinity,1e400,-1e400]', '[NaN,Infinity,-Infinity,Infinity,-Infinity]'],
  ['[-0,-0.0,0,0e0,1E2,1e-400]', '[0,-0.0,0,0.0,100.0,0.0]'],
  [
    '[1e15,1e16,9999999999999998.0,123456789012345680.0,1e22]',
    '[1000000000000000.0,1e+16,9999999999999998.0,1.2345678901234568e+17,1e+22]',
  ],
  [
    '[0.0001,0.00001,1e-7,1.5e-10,5e-324,1.7976931348623157e308]',
    '[0.0001,1e-05,1e-07,1.5e-10,5e-324,1.7976931348623157e+308]',
  ],
  ['[9007199254740993,-18446744073709551617]', '[9007199254740993,-18446744073709551617]'],
  ['{"a":1,"b":2,"\\u0061":3}', '{"a":3,"b":2}'],
  ['{"10":1,"2":2,"__proto__":3}', '{"10":1,"2":2,"__proto__":3}'],
  [
    '"\\/ \\u00E9 é 홍 😀 \\uD83D\\uDE00 \\ud83d \x7f \u2028"',
    '"/ \\u00e9 \\u00e9 \\ud64d \\ud83d\\ude00 \\ud83d\\ude00 \\ud83d \\u007f \\u2028"',
  ],
  ['"\\b\\f\\n\\r\\t\\"\\\\\\u0000\\u001f"', '"\\b\\f\\n\\r\\t\\"\\\\\\u0000\\u001f"'],
  ['null', 'null'],
]
test('JSON text is canonicalized as by Python', (t) => {
  for (const [text, expected] of canonical) t.is(canonicalize(text), expected)
})

const refused = [
  ...['', ' ', '{', '[', '"', '{"a":', '{"a":1', '[1', '[1,', '{"a"', '{"a":1,'],
  ...[
    '[1,]',
    '{"a":1,}',
    '{,}',
    '[,]',
    '{1:2}',
    "{'a':1}",
    '{"a" 1}',
    '{"a":1 "b":2}',
    '[1 2]',
    '[1}',
    '{"a":1]',
  ],
  ...[
    '01',
    '-',
    '+1',
    '.5',
    '1.',
    '1e',
    '1e+',
    '0x1',
    '1_0',
    '-NaN',
    '+Infinity',
    'nan',
    'True',
    'undefined',
    'nul',
  ],
  ...[
    '1 2',
    '{} {}',
    '"a"b',
    '\ufeff{}',
    '\xa01',
    '\v1',
    '/**/1',
    '"\\x"',
    '"\\u12g4"',
    '"\\u+123"',
    '"\\',
    '"\\u12',
  ],
  ...['"a\nb"', '"a\x00b"', '"a\x1fb"', '{"a\tb":1}'],
]
test('JSON that Python rejects is an error, with its position', (t) => {
  for (const text of refused) {
    for (const read of [parseValue, parseObject, canonicalize]) {
      const error = t.throws(() => read(text), { instanceOf: JSONDecodeError, code: 'ERR_JSON_DECODE' }, text)
      t.true(error.position >= 0 && error.position <= text.length + 2, text)
    }
  }
  t.is(t.throws(() => parseValue('{"a": nul}'), { instanceOf: JSONDecodeError }).position, 6)
})

test('JSON that is not an object is distinguished from invalid JSON', (t) => {
  for (const text of ['[]', '[{"a":1}]', '"{}"', '1', 'null', 'NaN']) {
    t.throws(() => parseObject(text), { instanceOf: NotAnObject, code: 'ERR_NOT_AN_OBJECT' }, text)
  }
})

test('members keep their order and the text of their values', (t) => {
  const data = parseObject(
    ' {"b" : 1.0 , "10":[ 1,{"x" :2} ],"2":"\\u00E9\xe9", "\\u0062": -0 ,"__proto__":{ }} ',
  )
  t.deepEqual(
    [...data],
    [
      ['b', '-0'],
      ['10', '[ 1,{"x" :2} ]'],
      ['2', '"\\u00E9\xe9"'],
      ['__proto__', '{ }'],
    ],
  )
  t.is(stringifyObject(data), '{"b":-0,"10":[ 1,{"x" :2} ],"2":"\\u00E9\xe9","__proto__":{ }}')
  t.is(stringifyObject(new Map([['é"\n', '1']])), '{"\\u00e9\\"\\n":1}')
})

test('__proto__ is a key like any other', (t) => {
  const value = parseValue('{"__proto__":{"polluted":true},"a":{"__proto__":1}}') as Record<
    string,
    PythonValue
  >
  t.deepEqual(Object.keys(value), ['__proto__', 'a'])
  t.is(Object.getPrototypeOf(value), Object.prototype)
  t.is((value as { polluted?: unknown }).polluted, undefined)
  t.is(stringifyValue(value), '{"__proto__":{"polluted":true},"a":{"__proto__":1}}')
})

test('integers are exact: unsafe ones are bigint', (t) => {
  t.deepEqual(parseValue('[9007199254740991,9007199254740992,-9007199254740992,-0]'), [
    9007199254740991,
    9007199254740992n,
    -9007199254740992n,
    0,
  ])
})

test('integers with more digits than Python prints are rejected in both directions, floats are not', (t) => {
  const digits = '9'.repeat(MAX_INT_DIGITS)
  for (const longest of [digits, `-${digits}`]) {
    t.is(canonicalize(longest), longest)
    t.is(stringifyValue(parseValue(longest)), longest)
    t.throws(() => parseObject(`{"a":[${longest}9]}`), { instanceOf: JSONDecodeError })
    t.throws(() => stringifyValue(BigInt(`${longest}9`)), { instanceOf: NotSerializable })
  }
  t.is(canonicalize(`${digits}9.0`), 'Infinity')
})

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth)
}

test('every parser reads nesting up to the limit', (t) => {
  const deepest = `{"a":${nested(MAX_NESTING)}}`
  t.is(parseObject(deepest).get('a')?.length, 2 * MAX_NESTING)
  t.is(canonicalize(deepest), deepest)
  t.notThrows(() => parseValue(deepest))
  for (const read of [parseObject, parseValue, canonicalize]) {
    t.throws(() => read(`{"a":${nested(MAX_NESTING + 1)}}`), { instanceOf: JSONDecodeError })
    t.throws(() => read('[{"a":'.repeat(1_000_000)), { instanceOf: JSONDecodeError })
  }
})

test('nesting is written only as deep as every Django can read', (t) => {
  t.is(stringifyValue(parseValue(nested(MAX_WRITTEN_NESTING))), nested(MAX_WRITTEN_NESTING))
  t.throws(() => stringifyValue(parseValue(nested(MAX_WRITTEN_NESTING + 1))), { instanceOf: NotSerializable })
})

// A value, and the output of Python's json.dumps for its counterpart.
const printed: [unknown, string][] = [
  [
    [1, -1, 0, 2 ** 53 - 1, 1.5, -0, 2 ** 53, 1e16, 1e-7],
    '[1,-1,0,9007199254740991,1.5,-0.0,9007199254740992.0,1e+16,1e-07]',
  ],
  [[Number.NaN, Infinity, -Infinity, 2n ** 64n], '[NaN,Infinity,-Infinity,18446744073709551616]'],
  [
    { b: null, 2: true, a: false, 이: '홍\u007f/<' },
    '{"2":true,"b":null,"a":false,"\\uc774":"\\ud64d\\u007f/<"}',
  ],
  [{ kept: 1, undefined: undefined, [Symbol('s')]: 1 }, '{"kept":1}'],
  [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
  [runInNewContext('({ a: [1] })'), '{"a":[1]}'],
]
test('values are written as by Python', (t) => {
  for (const [value, expected] of printed) t.is(stringifyValue(value), expected)
})

test('the same object twice is not a cycle', (t) => {
  const shared = [1]
  t.is(stringifyValue({ a: shared, b: [shared, shared] }), '{"a":[1],"b":[[1],[1]]}')
})

test('a cycle is rejected', (t) => {
  const list: unknown[] = []
  list.push({ list })
  t.throws(() => stringifyValue(list), {
    instanceOf: NotSerializable,
    message: /^Circular reference detected/,
  })
})

class Book {
  title = 'A secret title'
  toJSON(): string {
    return this.title
  }
}

const unserializable: [unknown, string][] = [
  [undefined, 'undefined'],
  [() => 1, 'function'],
  [Symbol('s'), 'symbol'],
  [new Date(0), 'Date'],
  [new Map(), 'Map'],
  [new Set(), 'Set'],
  [Buffer.from('x'), 'Buffer'],
  [new Uint8Array(1), 'Uint8Array'],
  [/x/, 'RegExp'],
  [new Book(), 'Book'],
  [Object('x'), 'String'],
]
test('a value that JSON cannot represent is rejected as in Django, and the message says what to do', (t) => {
  // Python's own: "Object of type datetime is not JSON serializable".
  for (const { name, raises, message } of readVectors('django-5.2').unserializable) {
    if (name !== 'tuple_key')
      t.regex(`${raises}: ${message}`, /TypeError: Object of type \w+ is not JSON serializable$/)
  }
  for (const [value, type] of unserializable) {
    for (const holder of [value, [value], ...(value === undefined ? [] : [{ a: { b: value } }])]) {
      const error = t.throws(() => stringifyValue(holder), {
        instanceOf: TypeError,
        code: 'ERR_NOT_SERIALIZABLE',
      })
      t.regex(error.message, new RegExp(`^Object of type ${type} is not JSON serializable; store `))
      t.notRegex(error.message, /secret/)
    }
  }
})

test('holes in an array are rejected, not skipped', (t) => {
  t.throws(() => stringifyValue(new Array(1)), { instanceOf: NotSerializable })
})

test('bytes are latin-1, with all other characters escaped', (t) => {
  t.is(encodeJson('{"é":"ÿĀ홍😀"}').toString('latin1'), '{"\xe9":"\xff\\u0100\\ud64d\\ud83d\\ude00"}')
})
