import { readFileSync } from 'node:fs'
import test from 'ava'
import { compressors } from '../../src/caches/compressors.ts'
import { createValueFormat, jsonSerializer, pickleSerializer } from '../../src/caches/values.ts'
import { canonicalize, parseObject } from '../../src/django/json.ts'

const vectors = JSON.parse(readFileSync(new URL('../vectors/zstd-values.json', import.meta.url), 'utf8')) as {
  values: { json: string; value: string }[]
}
const maxBytes = 1_000_000
const zstd = compressors.get('django_redis.compressors.zstd.ZStdCompressor') ?? null

for (const { json, value } of vectors.values) {
  test(`a value compressed by pyzstd is read, and ours is read back: ${json.slice(0, 20)}…`, (t) => {
    const format = createValueFormat({ serializer: pickleSerializer, compressor: zstd, maxBytes })
    const data = parseObject(json)
    t.deepEqual(format.decode(Buffer.from(value, 'hex')), data)
    const ours = format.encode(data)
    t.is(ours.readUInt32LE(), 0xfd2fb528) // zstd's magic number
    t.deepEqual(format.decode(ours), data)
  })
}

test('short values are not compressed, and values from before the compressor was set are read', (t) => {
  for (const compressor of compressors.values()) {
    const format = createValueFormat({ serializer: pickleSerializer, compressor, maxBytes })
    const plain = createValueFormat({ serializer: pickleSerializer, compressor: null, maxBytes })
    const [empty, more] = [parseObject('{}'), parseObject('{"a":[1,2,3,4,5,6,7,8]}')]
    t.deepEqual(format.encode(empty), plain.encode(empty))
    t.deepEqual(format.decode(plain.encode(more)), more)
    t.deepEqual(format.decode(format.encode(more)), more)
  }
})

test("JSON has Python's spaces, and repeated writing adds no more", (t) => {
  const format = createValueFormat({ serializer: jsonSerializer, compressor: null, maxBytes })
  let data = parseObject('{"a":[1,{"b, c":"d: e\\"," ,"ü":"\\u20ac"}],"x":-1.5e3}')
  for (let round = 0; round < 3; round += 1) {
    const bytes = format.encode(data)
    t.is(bytes.toString(), '{"a": [1, {"b, c": "d: e\\"," , "\\u00fc": "\\u20ac"}], "x": -1.5e3}')
    data = format.decode(bytes)
  }
  t.is(canonicalize(data.get('a') ?? ''), canonicalize('[1,{"b, c":"d: e\\"," ,"\u00fc":"\\u20ac"}]'))
})

test('a value that is not a dictionary is UnreadableSession, and no other error', (t) => {
  for (const serializer of [pickleSerializer, jsonSerializer]) {
    const format = createValueFormat({ serializer, compressor: null, maxBytes })
    const reasonOf = (text: string) =>
      t.throws(() => format.decode(Buffer.from(text, 'latin1')), { code: 'ERR_SESSION_UNREADABLE' })
    for (const text of ['0', '-12', ' 7\n', '1_000', '9'.repeat(6000)]) {
      const error = reasonOf(text)
      t.true(error !== undefined && 'reason' in error && error.reason === 'not-an-object', text.slice(0, 9))
    }
    for (const text of ['', '[1', '\xff', '\x80\x04', 'not', '1__0', 'cos\nsystem\n.']) reasonOf(text)
  }
})
