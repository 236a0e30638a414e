import test from 'ava'
import fc from 'fast-check'

/** Number of cases for each of the 12 properties. `FUZZ_RUNS=50000 npm test -- test/fuzz/django.test.ts` runs more. */
const numRuns = Number(process.env.FUZZ_RUNS ?? 10_000)

/** A fixed seed gives the same cases in each run; `FUZZ_SEED=…` gives others. */
const seed = Number(process.env.FUZZ_SEED ?? 20_261_123)

/** Declares a test that runs `property` with these cases; `property` throws if it does not hold. */
export function fuzz<T>(title: string, cases: fc.Arbitrary<T>, property: (value: T) => void): void {
  test(title, (t) => {
    t.log(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`)
    fc.assert(fc.property(cases, property), { seed, numRuns, includeErrorInReport: true })
    t.pass()
  })
}

const TOKENS = [
  ...'{}[]:,"\'\\/.-+=; \t\n\r\0',
  ...['0', '1', '9', 'e', 'E', 'u', 'x', 'z', 'Z', 'T', 'W', '_', '%'],
  ...[
    'true',
    'false',
    'null',
    'NaN',
    'Infinity',
    '-Infinity',
    '1e999',
    '-0',
    '00',
    '1.5',
    '9007199254740993',
  ],
  ...[
    '\\u0041',
    '\\ud83d',
    '\\u12',
    '\\x41',
    '\\012',
    '\\400',
    '\\"',
    '"a"',
    '{"a":1}',
    '[[',
    ']]',
    '{}',
    '[]',
  ],
  ...[
    'sessionid',
    'sessionid=',
    '; sessionid="',
    '__proto__',
    'constructor',
    '_session_expiry',
    'num_visits',
  ],
  ...[
    '2026-11-23',
    '08:25:12',
    '.123456',
    '+00:00',
    '-23:59',
    'Z',
    '0000',
    '9999',
    '-W53-7',
    'infinity',
    'BC',
  ],
  ...['é', 'ÿ', '\x7f', '\x85', '\xa0', '\u2028', '\ufeff', '홍', '😀', '\ud83d', '\u0130'],
]

/** Text of the characters that these parsers look for, and of any others. */
export const text: fc.Arbitrary<string> = fc.oneof(
  {
    arbitrary: fc.array(fc.constantFrom(...TOKENS), { maxLength: 20 }).map((parts) => parts.join('')),
    weight: 4,
  },
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.array(fc.nat(0xffff), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
)

export const bytes: fc.Arbitrary<Buffer> = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array))

/** The text with a few characters removed, doubled or replaced, or other text appended. */
export function mutated(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(), fc.nat(3), fc.nat(4), fc.constantFrom('', ...TOKENS))
  return fc.tuple(valid, fc.array(edit, { minLength: 1, maxLength: 4 })).map(([start, edits]) => {
    let result = start
    for (const [place, removed, repeated, inserted] of edits) {
      const at = place % (result.length + 1)
      const part = result.slice(at, at + repeated)
      result = `${result.slice(0, at)}${part}${inserted}${result.slice(at + removed)}`
    }
    return result
  })
}

/** JSON text as written by Python, and as written by others. */
export const json: fc.Arbitrary<string> = fc.oneof(
  fc.json({ stringUnit: 'binary', maxDepth: 4 }),
  fc
    .jsonValue({ maxDepth: 3 })
    .map((value) => JSON.stringify({ num_visits: value, _session_expiry: value }, null, 1)),
  fc
    .tuple(
      fc.integer({ min: 0, max: 6000 }),
      fc.constantFrom('[', '{"a":', '[[],', '{"a":{},"b":', '[1,', '"\\'),
    )
    .map(([depth, opening]) => `{"a":${opening.repeat(depth)}1${']'.repeat(depth)}}`),
  fc.integer({ min: 4290, max: 4310 }).map((digits) => `{"a":${'9'.repeat(digits)}}`),
)
