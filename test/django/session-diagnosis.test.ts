import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { createDiagnosis, shapeOf, unverifiedContent } from '../../src/django/session-diagnosis.ts'
import { versionProfile } from '../../src/django/versions.ts'

const now = () => new Date('2026-11-29T12:00:00.500Z')
const secretKeys = ['a key of the site'] as const
const DATA = new Map([['words', JSON.stringify(Array.from({ length: 40 }, (_, at) => `word ${at % 7}`))]])

function written(version: string, more: Partial<Parameters<typeof createSessionCodec>[0]> = {}): string {
  return createSessionCodec({ secretKeys, profile: versionProfile(version), now, ...more }).encode(DATA)
}

const diagnose = createDiagnosis({ secretKeys, profile: versionProfile('5.2'), now })

test('a text under the settings is read, with the time stamp of its signature', (t) => {
  const { shape, signedAt, decoded, reason, explanation } = diagnose(written('5.2'))
  t.deepEqual([shape, reason, explanation], ['signed', null, null])
  t.deepEqual(signedAt, new Date('2026-11-29T12:00:00Z'))
  t.deepEqual(decoded?.data, DATA)
})

test('the settings that differ are named, and as few as possible', (t) => {
  const cases = [
    [written('2.2'), ['DJANGO_VERSION']],
    [written('5.2', { storeClass: 'CustomSessionStore' }), ['SESSION_STORE_CLASS']],
    [written('4.2', { serializer: 'pickle' }), ['SESSION_SERIALIZER']],
    [written('2.2', { storeClass: 'CustomSessionStore' }), ['SESSION_STORE_CLASS', 'DJANGO_VERSION']],
    [written('5.2', { secretKeys: ['a key of the site\n'] }), ['DJANGO_SECRET_KEY']],
  ] as const
  for (const [text, differs] of cases) {
    const { decoded, explanation } = diagnose(text)
    t.deepEqual(explanation?.differs, [...differs])
    t.deepEqual(decoded?.data, DATA)
  }
})

test('a text of another key has a shape and a time stamp, and no explanation', (t) => {
  const { shape, signedAt, decoded, reason, explanation } = diagnose(
    written('5.2', { secretKeys: ['other'] }),
  )
  t.deepEqual([shape, decoded, reason, explanation], ['signed', null, 'signature', null])
  t.deepEqual(signedAt, new Date('2026-11-29T12:00:00Z'))
})

test('each beginning of a text counts as cut off, and not as one of another key', (t) => {
  for (const version of ['2.2', '5.2']) {
    const text = written(version)
    for (let length = 60; length < text.length - 2; length += 1) {
      // Where SHA-1 has 27 characters, a cut signature of SHA-256 looks whole.
      if (text.length - length === 43 - 27) continue
      t.is(shapeOf(text.slice(0, length)), 'cut', `${version}: ${length} of ${text.length}`)
    }
    t.is(shapeOf(text), version === '2.2' ? 'legacy' : 'signed')
  }
  t.is(shapeOf('garbage?'), 'unknown')
  t.is(shapeOf(''), 'unknown')
})

test('the content of a text can be seen without its key, but not that of a bomb', (t) => {
  for (const version of ['2.2', '5.2']) {
    const content = unverifiedContent(written(version, { secretKeys: ['other'] })) ?? ''
    t.deepEqual(Object.keys(JSON.parse(content)), ['words'])
  }
  const large = new Map([['zeros', `"${'0'.repeat(2 * 1024 * 1024)}"`]])
  const codec = createSessionCodec({ secretKeys, profile: versionProfile('5.2'), now })
  t.is(unverifiedContent(codec.encode(large)), null)
})
