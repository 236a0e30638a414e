import test from 'ava'
import fc from 'fast-check'
import { stringifyObject } from '../../src/django/json.ts'
import { parsePickledObject, pickleObject } from '../../src/django/pickle/pickle.ts'
import { pickledValues } from '../../src/django/session-values.ts'
import { allPickles } from '../vectors/_vectors.ts'
import { fuzz, text } from './fuzz.ts'
import { isOurs, readOrNull } from './outcome.ts'

const limits = { maxBytes: 100_000, maxObjects: 5000 }

/** Reads a pickle. The result must survive writing and reading, and each value conversion to JavaScript and back. */
function read(pickle: Uint8Array): void {
  const data = readOrNull(() => parsePickledObject(pickle, limits))
  if (data === null) return
  const again = parsePickledObject(pickleObject(data))
  if (JSON.stringify([...again]) !== JSON.stringify([...data])) throw new Error('written otherwise')
  for (const value of data.values()) {
    const handedOut = readOrNull(() => pickledValues.stringify(pickledValues.parse(value)))
    if (handedOut === null && value.length < 500) throw new Error('a value that cannot be set again')
  }
  readOrNull(() => stringifyObject(data))
}

const OPCODES = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter((code) =>
  /[().012FGIJKLMNPQRSTUVXabcdeghijlopqrstu}\]BC\x80-\x98]/.test(code),
)
const PARTS = [
  ...OPCODES,
  ...[
    '\x8c\x01a',
    '\x8c\x03int',
    '\x8c\x04uuid',
    'X\x02\0\0\0\xed\xa0',
    'K\x01',
    'M\xff\xff',
    'J\xff\xff\xff\xff',
    'I01\n',
    'L9L\n',
  ],
  ...[
    '\x8a\x02\xff\x7f',
    '\x8b\x01\0\0\0\x80',
    'G\x7f\xf8\0\0\0\0\0\0',
    'F1e9\n',
    'Va\\u0041\n',
    'C\x02ab',
    '\x96\x01\0\0\0\0\0\0\0a',
  ],
  ...[
    'h\0',
    'h\x01',
    'q\0',
    '\x94',
    ']\x94',
    '}\x94',
    '(K\x01t',
    '\x8f(',
    '\x90',
    '\x91',
    ')\x81',
    '}b',
    ')R',
    '\x85R',
    '\x86R',
  ],
  ...[
    'cuuid\nUUID\n',
    'cdatetime\ndatetime\n',
    'cdatetime\ntimezone\n',
    'cdatetime\ntimedelta\n',
    'cdecimal\nDecimal\n',
  ],
  ...[
    'c__builtin__\nset\n',
    'c__builtin__\nbytearray\n',
    'c__builtin__\ngetattr\n',
    'c_codecs\nencode\n',
    'cpytz\n_p\n',
    'cos\nsystem\n',
  ],
  ...[
    'C\x0a\x07\xe7\x0b\x0e\x16\x0d\x14\0\0\0',
    'C\x04\x07\xe7\x0b\x0e',
    '(K\0K\x01K\x02t',
    'V_unpickle\n',
    'czoneinfo\nZoneInfo\n',
  ],
]

const opcodes = fc
  .array(
    fc.oneof(
      fc.constantFrom(...PARTS),
      text.map((each) => each.slice(0, 3)),
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.from(`}\x8c\x01a${parts.join('')}s.`, 'latin1'))

/** A real pickle with a few bytes changed, doubled, exchanged or removed. */
const mutated = fc
  .tuple(
    fc.constantFrom(...allPickles.filter((pickle) => pickle.length < 2000)),
    fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.nat(4), fc.constantFrom('', ...PARTS)), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([pickle, edits]) => {
    let result = Buffer.from(pickle)
    for (const [place, removed, repeated, inserted] of edits) {
      const at = place % (result.length + 1)
      result = Buffer.concat([
        result.subarray(0, at),
        result.subarray(at, at + repeated),
        Buffer.from(inserted, 'latin1'),
        result.subarray(at + removed),
      ])
    }
    return result
  })

fuzz('any bytes are read or rejected', fc.uint8Array({ maxLength: 60 }), read)
fuzz('any opcodes are read or rejected', opcodes, read)
fuzz('a changed pickle of Python is read or rejected', mutated, read)

test('the generated cases reach every outcome', (t) => {
  const seen = new Map<string, number>()
  for (const pickle of fc.sample(fc.oneof(opcodes, mutated), { seed: 1, numRuns: 4000 })) {
    let outcome = 'read'
    try {
      parsePickledObject(pickle, limits)
    } catch (error) {
      t.true(isOurs(error))
      outcome = (error as Error).name
    }
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  for (const outcome of ['read', 'PickleRefused', 'UnpicklingError', 'NotAnObject']) {
    t.true((seen.get(outcome) ?? 0) > 20, outcome)
  }
})

/** A start, and a unit that is repeated up to 100,000 bytes after it; `e` ends a list that is the value. */
const repeated: [start: string, unit: string][] = [
  ...OPCODES.map((opcode): [string, string] => ['}\x8c\x01a(', opcode]),
  ...PARTS.map((part): [string, string] => ['}\x8c\x01a(', part]),
  ['}\x8c\x01a(', 'N\x94'],
  ['}\x8c\x01a(', '}\x8c\x01aNs'],
  ['}\x8c\x01a(', '(K\x01K\x02\x90'],
  ['}\x8c\x01a(]\x94', 'h\0a'],
  ['}\x8c\x01a(', '2\x86'],
  // A memo entry is used many times: a long str, bytes, list and int.
  [`}\x8c\x01a(X\0\0\x02\0${'x'.repeat(0x20000)}\x94`, 'h\0'],
  [`}\x8c\x01a(X\0\0\x02\0${'x'.repeat(0x20000)}\x94`, 'cdecimal\nDecimal\nh\0\x85R'],
  [`}\x8c\x01a(\x8b\0\0\x02\0${'\x7f'.repeat(0x20000)}\x94`, 'h\0'],
  [`}\x8c\x01a(\x8b\xf0\x06\0\0${'\x7f'.repeat(0x6f0)}\x94`, 'h\0'],
  [`}\x8c\x01a(B\0\0\x02\0${'x'.repeat(0x20000)}\x94`, 'c__builtin__\nbytearray\nh\0\x85R'],
  [`}\x8c\x01a((${'N'.repeat(0x20000)}l\x94`, 'c__builtin__\nset\nh\0\x85R'],
  [`}\x8c\x01a((${'N'.repeat(0x20000)}t\x94`, 'h\0\x85\x85'],
  [`}\x8c\x01a(`, 'J\0\0\x01\0N'],
  ['}\x8c\x01aV', '\\u0041'],
  ['}\x8c\x01aV', '\\ud83d\\ude00'],
  ['}\x8c\x01a(\x8f(', 'K\x01'],
  ['}\x8c\x01a}(', 'J\0\x01\x02\x03N'],
  ['}\x8c\x01a}(', '\x8a\x09\0\0\0\0\0\0\0\0\x01N'],
]

test('100,000 bytes of any opcode take linear time and memory', (t) => {
  t.timeout(120_000)
  let slowest = 0
  for (const [start, unit] of repeated) {
    for (const end of ['ls.', 'us.']) {
      const pickle = Buffer.from(start + unit.repeat(100_000 / unit.length) + end, 'latin1')
      const began = performance.now()
      readOrNull(() => pickleObject(parsePickledObject(pickle, { maxBytes: 2 ** 20 })))
      slowest = Math.max(slowest, performance.now() - began)
    }
  }
  t.log(`${Math.round(slowest)} ms at most`)
  t.true(slowest < 10_000) // a hundred times the linear time, and less than the quadratic time
})
