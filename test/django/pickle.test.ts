import test from 'ava'
import { NotAnObject, parseObject, stringifyObject } from '../../src/django/json.ts'
import { PickleRefused, UnpicklingError } from '../../src/django/pickle/errors.ts'
import { parsePickledObject, pickleObject } from '../../src/django/pickle/pickle.ts'
import { PayloadTooLarge } from '../../src/django/signing.ts'
import { pickleVectors } from '../vectors/_vectors.ts'

/** A pickle from its opcodes, in the notation of Python's bytes literals. */
const bytes = (literal: string): Buffer => Buffer.from(literal, 'latin1')

test('pickles of real Python versions, in each protocol, are read alike and survive writing', (t) => {
  const seen = new Set<string>()
  for (const { name, json, pickles } of pickleVectors.cases) {
    const texts = pickles.map(({ pickle, by }) => {
      for (const each of by) seen.add(each)
      const data = parsePickledObject(Buffer.from(pickle, 'base64'))
      t.deepEqual([...parsePickledObject(pickleObject(data))], [...data], `${name} ${by}`)
      return data.get('value') ?? ''
    })
    // Django's SafeString was called SafeText.
    t.is(new Set(texts).size, name === 'SafeString' ? 2 : 1, name)
    if (json !== null) t.is(texts[0], json, name)
    else t.regex(texts[0] ?? '', /^\0pickle:\w+:[\w-]+$/, name)
  }
  for (const django of ['2.2', '4.2', '6.1']) {
    for (let protocol = 0; protocol < 6; protocol += 1) t.true(seen.has(`${django}/${protocol}`))
  }
})

test('a dict of JSON values becomes JSON text, and is pickled again', (t) => {
  const json = '{"a":1,"b":1.0,"c":[null,true,"\\ud64d\\ud83d"],"d":{"e":12345678901234567890,"":-0.0}}'
  const data = parsePickledObject(pickleObject(parseObject(json)))
  t.is(stringifyObject(data), json)
})

test('a value that JSON cannot represent has a text with its type, which JSON rejects', (t) => {
  const data = parsePickledObject(bytes('\x80\x04}\x8c\x01aK\x01K\x02\x86s.'))
  t.deepEqual([...data], [['a', '\0pickle:tuple:gARLAUsChi4']])
  const error = t.throws(() => stringifyObject(data), { name: 'NotSerializable' })
  t.regex(error.message, /of the Python type tuple/)
  t.deepEqual([...parsePickledObject(pickleObject(data))], [...data])
})

test('a key that is not a str has such a text, too, distinct from a str that looks like it', (t) => {
  const data = parsePickledObject(bytes('\x80\x04}(K\x01K\x02\x8c\x10\0pickle:int:KAEuK\x03u.'))
  t.deepEqual(
    [...data],
    [
      ['\0pickle:int:gARLAS4', '2'],
      ['\0pickle::int:KAEu', '3'],
    ],
  )
  t.deepEqual([...parsePickledObject(pickleObject(data))], [...data])
  t.throws(() => stringifyObject(data), { message: /a key of the Python type int/ })
  const json = '{"\\u0000pickle:int:KAEu":1}'
  t.is(stringifyObject(parseObject(json)), json)
})

const refusals: Record<string, string> = {
  'posix.system': 'cposix\nsystem\n(Vtouch x\ntR.',
  'os.system': '\x80\x04\x8c\x02os\x8c\x06system\x93.',
  'builtins.eval': 'c__builtin__\neval\n.',
  'builtins.exec': '\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x011\x85R.',
  'builtins.__import__': 'cbuiltins\n__import__\n.',
  'subprocess.Popen': 'csubprocess\nPopen\n)\x81.',
  'copyreg.__newobj__': 'ccopy_reg\n__newobj__\n.',
  'collections.OrderedDict': 'ccollections\nOrderedDict\n)R.',
  'django.contrib.auth.models.User': '\x80\x04\x8c\x1adjango.contrib.auth.models\x8c\x04User\x93.',
  'datetime.datetime.now': '\x80\x04\x8c\x08datetime\x8c\x0cdatetime.now\x93.',
  'zoneinfo.ZoneInfo.from_file': '\x80\x04\x8c\x08zoneinfo\x8c\x12ZoneInfo.from_file\x93.',
  'a class with an invalid name': 'ca b\nc\xffd\n.',
  'a persistent id': 'P1\n.',
  'an instance of a class (INST)': '(Vtouch x\niposix\nsystem\n.',
  'an instance of a class (OBJ)': '(K\x01o.',
  'an instance of a class (NEWOBJ_EX)': 'NNN\x92.',
  'an extension of copyreg (EXT1)': '\x82\x01.',
  'an extension of copyreg (EXT2)': '\x83\x01\x00.',
  'an extension of copyreg (EXT4)': '\x84\x01\x00\x00\x00.',
  'an out-of-band buffer (NEXT_BUFFER)': '\x97.',
  'an out-of-band buffer (READONLY_BUFFER)': '\x98.',
  'a call of an object that is not a class or function': 'K\x01)R.',
  'an object with a state': '}}b.',
  'uuid.UUID': '}\x8c\x01acuuid\nUUID\ns.',
  'a uuid.UUID without a value': '}\x8c\x01acuuid\nUUID\n)\x81s.',
  'builtins.getattr with unexpected arguments': 'c__builtin__\ngetattr\n(cuuid\nUUID\nVmro\ntR.',
  'builtins.set with unexpected arguments': 'c__builtin__\nset\n(((lltR.',
  'builtins.bytearray with unexpected arguments': 'c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.',
  'datetime.datetime with unexpected arguments': 'cdatetime\ndatetime\n(K\x01K\x01K\x01tR.',
  'datetime.date with unexpected arguments': 'cdatetime\ndate\nC\x04\x07\xe7\x02\x1e\x85R.',
  'copyreg._reconstructor with unexpected arguments':
    'ccopy_reg\n_reconstructor\n(cuuid\nUUID\nc__builtin__\nstr\nV1\ntR.',
  'decimal.Decimal with unexpected arguments': 'cdecimal\nDecimal\nV1x\n\x85R.',
}
for (const [what, pickle] of Object.entries(refusals)) {
  test(`${what}: refused, and named in the error`, (t) => {
    const error = t.throws(() => parsePickledObject(bytes(pickle)), { instanceOf: PickleRefused })
    t.is(error.code, 'ERR_PICKLE_REFUSED')
    t.is(error.what, what)
  })
}

const malformed: Record<string, string> = {
  nothing: '',
  'no end': '}',
  'an unknown opcode': '\xff.',
  'a protocol of the future': '\x80\x06}.',
  'an empty stack': '.',
  'a missing mark': '}u.',
  'an incomplete str': '\x8c\x05ab.',
  'a str longer than memory': '\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.',
  'a str that is not UTF-8': '\x8c\x02\xc3\x28.',
  'an overlong str': '\x8c\x02\xc0\x80.',
  'an incomplete frame': '\x95\xff\0\0\0\0\0\0\0}.',
  'an int that is not a number': 'I1x\n.',
  'an int of 4301 digits': `L${'9'.repeat(4301)}L\n.`,
  'a float that is not a number': 'F1_0\n.',
  'an empty memo': 'h\x07.',
  'a key that is a list': '}]K\x01s.',
  'a member that is a dict': '\x8f(}\x90.',
  'a tuple with a list as a key': '}]\x85K\x01s.',
  'a key without a value': '}(K\x01u.',
  'an addition to a frozenset': '(\x91(K\x01\x90.',
  'an APPEND to an object that is not a list': 'K\x01K\x02a.',
}
for (const [name, pickle] of Object.entries(malformed)) {
  test(`a pickle with ${name} is an error`, (t) => {
    const error = t.throws(() => parsePickledObject(bytes(pickle)), { instanceOf: UnpicklingError })
    t.is(error.code, 'ERR_UNPICKLING')
  })
}

test('an int of any size in bytes is read and written', (t) => {
  const data = parsePickledObject(bytes(`}\x8c\x01a\x8b\0\0\x10\0${'\x7f'.repeat(0x100000)}s.`))
  t.is(pickleObject(data).length, 0x100000 + 15)
})

test('the limits on size, nesting and number of objects are enforced', (t) => {
  const nested = (levels: number) => bytes(`}\x8c\x01a${']'.repeat(levels)}${'a'.repeat(levels - 1)}s.`)
  t.is(parsePickledObject(nested(1000)).get('a')?.length, 2000)
  t.throws(() => parsePickledObject(nested(1001)), { instanceOf: UnpicklingError, message: /1000 levels/ })
  t.throws(() => parsePickledObject(nested(11), { maxNesting: 10 }), { instanceOf: UnpicklingError })
  t.throws(() => parsePickledObject(bytes('}.'), { maxBytes: 1 }), { instanceOf: PayloadTooLarge })
  t.throws(() => parsePickledObject(bytes(`}\x8c\x01a(${']'.repeat(100)}ls.`), { maxObjects: 50 }), {
    instanceOf: PayloadTooLarge,
  })
  const large = new Map([['a', `"${'x'.repeat(100)}"`]])
  t.throws(() => pickleObject(large, { maxBytes: 100 }), { instanceOf: PayloadTooLarge })
  const deep = new Map([['a', `${'['.repeat(1001)}${']'.repeat(1001)}`]])
  t.throws(() => pickleObject(deep), { name: 'NotSerializable', message: /1000 levels/ })
})

test('a memo of a million strings, and one reused many times, take only linear memory', (t) => {
  const long = `\x8c\xff${'x'.repeat(255)}`
  t.throws(() => parsePickledObject(bytes(`}\x8c\x01a(${long}\x94${'h\0'.repeat(100_000)}ls.`)), {
    instanceOf: PayloadTooLarge,
  })
  t.throws(() => parsePickledObject(bytes(`N${'\x94'.repeat(1_100_000)}.`)), { instanceOf: PayloadTooLarge })
  const copies = `(${'N'.repeat(1000)}l\x94cbuiltins\nset\n\x94${'h\x01h\0\x85R'.repeat(20_000)}.`
  t.throws(() => parsePickledObject(bytes(copies)), { instanceOf: PayloadTooLarge })
})

test('a text in SessionData that was not pickled here is rejected', (t) => {
  for (const text of ['\0pickle:', '\0pickle:int', '\0pickle:int:', '\0pickle:int:Y3Bvc2l4CnN5c3RlbQou']) {
    t.throws(() => pickleObject(new Map([['a', text]])), { name: 'NotSerializable' })
    t.throws(() => stringifyObject(new Map([['a', text]])), { name: 'NotSerializable' })
  }
})

test('exponentially shared lists are rejected before they are written out', (t) => {
  let bomb = ']'
  for (let level = 0; level < 100; level += 1) bomb += '2\x86' // a pair of the same, a hundred times
  t.throws(() => parsePickledObject(bytes(`}\x8c\x01a${bomb}s.`)), { instanceOf: PayloadTooLarge })
})

test('an object that contains itself is rejected', (t) => {
  t.throws(() => parsePickledObject(bytes('}\x94\x8c\x01ah\0s.')), {
    instanceOf: UnpicklingError,
    message: /contains itself/,
  })
})

test('a pickle of another type than dict is rejected', (t) => {
  t.throws(() => parsePickledObject(bytes('K\x01.')), { instanceOf: NotAnObject })
})
