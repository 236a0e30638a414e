import test from 'ava'
import { createSessionCodec, type SessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { watchForeignTexts } from '../../src/engines/foreign-texts.ts'

const codecOf = (version: string, secretKey = 'ours'): SessionCodec =>
  createSessionCodec({ secretKeys: [secretKey], profile: versionProfile(version), now: () => new Date() })

const data = (value: number) => new Map([['num_visits', String(value)]])

for (const version of ['2.2', '3.2', '5.2'])
  test(`a text of this process is not foreign, and the first one of another is told, once (Django ${version})`, (t) => {
    let told = 0
    const codec = watchForeignTexts(codecOf(version), () => {
      told += 1
    })
    for (const value of [1, 2, 1]) t.deepEqual(codec.decode(codec.encode(data(value))).data, data(value))
    t.is(told, 0)
    const theirs = codecOf(version).encode(data(4))
    t.deepEqual(codec.decode(theirs).data, data(4))
    t.is(told, 1)
    codec.decode(codecOf(version).encode(data(5)))
    t.is(told, 1)
  })

test('a text that cannot be read is foreign, too, and still an error', (t) => {
  let told = 0
  const codec = watchForeignTexts(codecOf('5.2'), () => {
    told += 1
  })
  t.throws(() => codec.decode(codecOf('5.2', 'theirs').encode(data(1))), { code: 'ERR_SESSION_UNREADABLE' })
  t.is(told, 1)
})

test('only the newest own texts are remembered', (t) => {
  let told = 0
  const codec = watchForeignTexts(codecOf('5.2'), () => {
    told += 1
  })
  const texts = Array.from({ length: 1001 }, (_, value) => codec.encode(data(value)))
  for (const text of texts.slice(1)) codec.decode(text)
  t.is(told, 0)
  codec.decode(String(texts[0]))
  t.is(told, 1)
})
