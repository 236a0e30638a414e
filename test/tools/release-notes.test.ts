import test from 'ava'
import { releaseNotes } from '../../tools/release-notes.ts'

const CHANGELOG = `# Changelog

## Unreleased

## 1.1.0 - 2026-12-01

### Added
- One thing.

## [1.0.0]
- The first.
`

test('the notes of a version are its section of the changelog', (t) => {
  t.is(releaseNotes(CHANGELOG, '1.1.0'), '### Added\n- One thing.\n')
  t.is(releaseNotes(CHANGELOG, '1.0.0'), '- The first.\n')
})

test('a version without a section, or with an empty one, has no notes', (t) => {
  t.throws(() => releaseNotes(CHANGELOG, '1.1'), { message: /no section "## 1\.1"; rename/ })
  t.throws(() => releaseNotes(CHANGELOG, 'Unreleased'), { message: /is empty/ })
})
