import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import {
  PythonDate,
  PythonDatetime,
  PythonTime,
  PythonTimedelta,
  PythonTimezone,
} from '../../src/django/pickle/datetimes.ts'
import { PickleRefused } from '../../src/django/pickle/errors.ts'
import type { PickledValue } from '../../src/django/pickle/javascript.ts'
import { parsePickledObject, pickleObject } from '../../src/django/pickle/pickle.ts'
import {
  PythonByteArray,
  PythonDecimal,
  PythonFrozenSet,
  PythonTuple,
  PythonUuid,
  SafeString,
} from '../../src/django/pickle/python-values.ts'
import { pickledKey, pickledValues } from '../../src/django/session-values.ts'
import { djangoVersions } from '../support/django.ts'
import { startPickler } from '../support/pickler.ts'

const RUNS = 150

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('__proto__', '10', '', '\0pickle:int:gARLAS4', 'rep'.repeat(100)),
)
const offset = fc
  .tuple(fc.integer({ min: -86_399, max: 86_399 }), fc.nat(999_999))
  .map(([seconds, microseconds]) => new PythonTimedelta({ seconds, microseconds }))
const timezone = fc.oneof(
  fc.constant(null),
  fc.constant(PythonTimezone.utc),
  fc
    .constantFrom('Asia/Seoul', 'Europe/Berlin', 'America/St_Johns')
    .map((zone) => new PythonTimezone({ kind: 'zoneinfo.ZoneInfo', zone, fromCache: true })),
  fc
    .tuple(offset, fc.constantFrom(null, 'KST', '홍'))
    .map(([each, name]) => new PythonTimezone({ kind: 'datetime.timezone', offset: each, name })),
)
const date = {
  year: fc.integer({ min: 1, max: 9999 }),
  month: fc.integer({ min: 1, max: 12 }),
  day: fc.integer({ min: 1, max: 28 }),
}
const clock = {
  hour: fc.nat(23),
  minute: fc.nat(59),
  second: fc.nat(59),
  microsecond: fc.nat(999_999),
  timezone,
}
const decimal = fc.oneof(
  fc
    .tuple(fc.bigInt(), fc.integer({ min: 1, max: 9 }))
    .map(([digits, places]) => `${digits}`.replace(new RegExp(`(?<=\\d)(?=\\d{${places}}$)`), '.')),
  fc.constantFrom('NaN', 'Infinity', '-Infinity', '0E+3', '1E-9', '-0'),
)
const hashable: fc.Arbitrary<PickledValue> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.bigInt().filter((integer) => !Number.isSafeInteger(Number(integer))),
  text,
  fc.uint8Array(),
  fc.record(date).map((parts) => new PythonDate(parts)),
  fc.record({ ...date, ...clock }).map((parts) => new PythonDatetime(parts)),
  fc.record(clock).map((parts) => new PythonTime(parts)),
  fc
    .record({
      days: fc.integer({ min: -999_999_999, max: 999_999_998 }),
      seconds: fc.nat(86_399),
      microseconds: fc.nat(999_999),
    })
    .map((parts) => new PythonTimedelta(parts)),
  decimal.map((digits) => new PythonDecimal(digits)),
  fc.uuid().map((digits) => new PythonUuid(digits)),
)

/** Sets and other dicts have one member, because Python orders the members of a set by their hashes. */
const { value } = fc.letrec<{ value: PickledValue; key: PickledValue }>((tie) => ({
  key: fc.oneof(
    { depthSize: 'small' },
    hashable,
    fc.array(tie('key'), { maxLength: 4 }).map((items) => new PythonTuple(items)),
    fc.array(tie('key'), { maxLength: 1 }).map((items) => new PythonFrozenSet(items)),
  ),
  value: fc.oneof(
    { depthSize: 'small' },
    hashable,
    fc.double(),
    fc.uint8Array().map((each) => new PythonByteArray(each)),
    fc.array(tie('value')),
    fc.array(tie('value')).map((items) => new PythonTuple(items)),
    fc.array(fc.tuple(text, tie('value'))).map((members) => Object.fromEntries(members)),
    fc.array(fc.tuple(tie('key'), tie('value')), { maxLength: 1 }).map((members) => new Map(members)),
    fc.array(tie('key'), { maxLength: 1 }).map((items) => new Set(items)),
  ),
}))

for (const version of djangoVersions.filter((each) => ['2.2', '4.2', '6.1'].includes(each))) {
  test(`any session survives our pickle, the Python of Django ${version} in any protocol, and our reader`, async (t) => {
    const pickled = startPickler(t, version)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(text, value)),
        hashable,
        fc.nat(5),
        async (members, key, protocol) => {
          const data = new Map(
            members.map(([name, each]) => [name.replaceAll('\0', ''), pickledValues.stringify(each)]),
          )
          data.set(pickledKey(key), '"key"')
          const read = parsePickledObject(await pickled(pickleObject(data), protocol))
          t.deepEqual(abridged(read), abridged(data))
          t.true([...data].every(([name, each]) => read.get(name) === each))
          for (const [, each] of read) t.is(pickledValues.stringify(pickledValues.parse(each)), each)
        },
      ),
      { numRuns: RUNS },
    )
  })
}

test('a string that Django marked as safe stays safe', async (t) => {
  const pickled = startPickler(t, djangoVersions.at(-1) ?? '')
  const data = new Map([['a', pickledValues.stringify([new SafeString('<b>')])]])
  t.deepEqual([...parsePickledObject(await pickled(pickleObject(data), 4))], [...data])
})

/** Pickles that create a file when they are loaded. */
const attacks: Record<string, (file: string) => string> = {
  'os.system by GLOBAL and REDUCE': (file) => `cos\nsystem\n(Vtouch ${file}\ntR.`,
  'posix.system by STACK_GLOBAL': (file) =>
    `\x80\x04${str('posix')}${str('system')}\x93${str(`touch ${file}`)}\x85R.`,
  'builtins.eval': (file) =>
    `\x80\x04${str('builtins')}${str('eval')}\x93${str(`open(${JSON.stringify(file)}, 'w')`)}\x85R0}.`,
  'builtins.exec, hidden in a dict': (file) =>
    `}${str('a')}c__builtin__\nexec\n${str(`open(${JSON.stringify(file)}, 'w')`)}\x85Rs.`,
  'os.system by INST': (file) => `(Vtouch ${file}\nios\nsystem\n.`,
  'os.system by OBJ': (file) => `(cos\nsystem\nVtouch ${file}\no.`,
  'getattr of an imported module': (file) =>
    `c__builtin__\ngetattr\n(c__builtin__\n__import__\n(Vos\ntRVsystem\ntR(Vtouch ${file}\ntR.`,
  'an attribute of a module that is allowed': (file) =>
    `\x80\x04${str('uuid')}${str('os.system')}\x93${str(`touch ${file}`)}\x85R.`,
  'operator.attrgetter': (file) =>
    `coperator\nmethodcaller\n(Vsystem\nVtouch ${file}\ntR(c__builtin__\n__import__\n(Vos\ntRtR.`,
  'a state that is set by BUILD': (file) =>
    `ccodeop\nCompile\n)R}(${str('flags')}K\0u0cos\nsystem\n(Vtouch ${file}\ntR0}.`,
  'subprocess.Popen by NEWOBJ_EX': (file) =>
    `\x80\x04${str('functools')}${str('partial')}\x93${str('os')}${str('system')}\x93\x85}\x92${str(`touch ${file}`)}\x85R.`,
  'what comes before the end of a dict that is fine': (file) =>
    `}${str('a')}cos\nsystem\n(Vtouch ${file}\ntRs.`,
}

test('pickles that run code when Python loads them are refused here, and run nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pickle-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const python = startPickler(t, djangoVersions[0] ?? '')
  for (const [index, [name, attack]] of Object.entries(attacks).entries()) {
    const file = join(folder, String(index))
    const pickle = Buffer.from(attack(file), 'latin1')
    t.throws(() => parsePickledObject(pickle), { instanceOf: PickleRefused }, name)
    t.false(existsSync(file), name)
    await python(pickle, 4).catch(() => null)
    t.true(existsSync(file), `${name} does run in Python`)
  }
})

/** A short form for the log. */
function abridged(data: ReadonlyMap<string, string>): [string, string][] {
  return [...data].map(([name, each]) => [name, each.slice(0, 1000)])
}

/** SHORT_BINUNICODE */
function str(ascii: string): string {
  return `\x8c${String.fromCharCode(ascii.length)}${ascii}`
}
