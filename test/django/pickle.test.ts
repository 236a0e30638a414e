import test from 'ava'
import { NotAnObject, parseObject, stringifyObject } from '../../src/django/json.ts'
import { PickleRefused, UnpicklingError } from '../../src/django/pickle/errors.ts'
import { parsePickledObject, pickleObject } from '../../src/django/pickle.ts'
import { PayloadTooLarge } from '../../src/django/signing.ts'

/** A pickle from its opcodes as Python's bytes literals write them. */
const bytes = (literal: string): Buffer => Buffer.from(literal, 'latin1')

test('a dict of JSON values becomes JSON text, and is pickled again', (t) => {
  const json = '{"a":1,"b":1.0,"c":[null,true,"\\ud64d\\ud83d"],"d":{"e":12345678901234567890,"":-0.0}}'
  const data = parsePickledObject(pickleObject(parseObject(json)))
  t.is(stringifyObject(data), json)
})

test('a value that JSON cannot hold has a text that JSON refuses, by the name of its kind', (t) => {
  const data = parsePickledObject(bytes('\x80\x04}\x8c\x01aK\x01K\x02\x86s.'))
  t.deepEqual([...data], [['a', '\0pickle:tuple:gARLAUsChi4']])
  const error = t.throws(() => stringifyObject(data), { name: 'NotSerializable' })
  t.regex(error.message, /of Python's type tuple/)
  t.deepEqual([...parsePickledObject(pickleObject(data))], [...data])
})

test('a key that is no str has such a text too, and a str that looks like one is told apart', (t) => {
  const data = parsePickledObject(bytes('\x80\x04}(K\x01K\x02\x8c\x10\0pickle:int:KAEuK\x03u.'))
  t.deepEqual(
    [...data],
    [
      ['\0pickle:int:gARLAS4', '2'],
      ['\0pickle::int:KAEu', '3'],
    ],
  )
  t.deepEqual([...parsePickledObject(pickleObject(data))], [...data])
  t.throws(() => stringifyObject(data), { message: /a key of Python's type int/ })
  const json = '{"\\u0000pickle:int:KAEu":1}'
  t.is(stringifyObject(parseObject(json)), json)
})

for (const [name, pickle] of [
  ['os.system', 'cos\nsystem\n(S"touch /tmp/x"\ntR.'],
  ['builtins.eval', '\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.'],
  ['a persistent id', '\x80\x04}Q.'],
] as const) {
  test(`${name} is refused by name`, (t) => {
    const error = t.throws(() => parsePickledObject(bytes(pickle)), { instanceOf: PickleRefused })
    t.is(error.code, 'ERR_PICKLE_REFUSED')
    t.is(error.what, name)
  })
}

test('lists that share lists are refused before they are written out', (t) => {
  let bomb = ']'
  for (let level = 0; level < 100; level += 1) bomb += '2\x86' // a pair of the same, a hundred times
  t.throws(() => parsePickledObject(bytes(`}\x8c\x01a${bomb}s.`)), { instanceOf: PayloadTooLarge })
})

test('what contains itself is refused', (t) => {
  t.throws(() => parsePickledObject(bytes('}\x94\x8c\x01ah\0s.')), {
    instanceOf: UnpicklingError,
    message: /contains itself/,
  })
})

test('a pickle of something else than a dict is refused', (t) => {
  t.throws(() => parsePickledObject(bytes('K\x01.')), { instanceOf: NotAnObject })
})
