import test from 'ava'
import { hourPlot, readingBars, sizeBars } from '../../../src/service/pages/session-plots.ts'
import type { Reading, SampledRow, SessionSample } from '../../../src/service/pages/session-totals.ts'

const NOW = new Date('2026-03-02T12:30:00Z')
const MINUTE = 60_000

function sample(rows: readonly Partial<SampledRow>[], completeSince: Date | null = null): SessionSample {
  const reading: Reading = { outcome: 'read', format: 'signed', keyIndex: 0 }
  return {
    rows: rows.map((row) => ({ size: 100, reading, savedAt: null, ...row })),
    isWhole: completeSince === null,
    completeSince,
  }
}

test('bars say how the rows can be read: each kind has its own pattern, and problems come after what is right', (t) => {
  const bars = readingBars(
    sample([
      { reading: { outcome: 'unread' } },
      { reading: { outcome: 'unreadable', reason: 'signature' } },
      { reading: { outcome: 'read', format: 'legacy', keyIndex: 0 } },
      { reading: { outcome: 'read', format: 'signed', keyIndex: 2 } },
      ...Array.from({ length: 4 }, () => ({})),
    ]),
  )
  t.deepEqual(
    bars.map(({ label, count, share, width, kind }) => [label, count, share, width, kind]),
    [
      ['Readable with SECRET_KEY', '4', '50 %', '50.00%', 'plain'],
      ['Readable, in the legacy format', '1', '12.5 %', '12.50%', 'old'],
      ['Readable with fallback key 2', '1', '12.5 %', '12.50%', 'old'],
      ['Unreadable: no key verifies the signature', '1', '12.5 %', '12.50%', 'problem'],
      ['Not read here: larger than 16 KiB', '1', '12.5 %', '12.50%', 'unknown'],
    ],
  )
})

test('sizes are in classes from the smallest to the largest that occurs; the fullest is the longest bar', (t) => {
  const bars = sizeBars(
    sample([{ size: 300 }, { size: 512 }, { size: 513 }, { size: 9000 }, { size: 16_385 }]),
  )
  t.deepEqual(
    bars.map(({ label, count, width }) => [label, count, width]),
    [
      ['256 B to 512 B', '2', '100.00%'],
      ['512 B to 1 KiB', '1', '50.00%'],
      ['1 KiB to 2 KiB', '0', '0.00%'],
      ['2 KiB to 4 KiB', '0', '0.00%'],
      ['4 KiB to 8 KiB', '0', '0.00%'],
      ['8 KiB to 16 KiB', '1', '50.00%'],
      ['Above 16 KiB', '1', '50.00%'],
    ],
  )
  t.is(sizeBars(sample([{ size: 73 }]))[0]?.label, 'Up to 256 B')
})

test('the last column is the present hour, and the labels are in the zone of the site', (t) => {
  const rows = [10, 20, 100].map((minutes) => ({ savedAt: new Date(NOW.getTime() - minutes * MINUTE) }))
  const plot = hourPlot(sample([...rows, { savedAt: new Date(0) }, {}]), { now: NOW, timeZone: 'Asia/Seoul' })
  t.is(plot?.columns.length, 24)
  t.deepEqual(
    plot?.columns.slice(-3).map(({ label, count, height }) => [label, count, height]),
    [
      ['19:00 to 20:00', 1, '50.00%'],
      ['20:00 to 21:00', 0, '0.00%'],
      ['21:00 to 22:00', 2, '100.00%'],
    ],
  )
  t.deepEqual(plot?.ticks, ['22:00', '04:00', '10:00', '16:00'])
  t.deepEqual(
    plot?.gridlines.map(({ label }) => label),
    ['2', '1', '0'],
  )
  t.is(plot?.incomplete, null)
  t.is(
    plot?.summary,
    '3 of these sessions were saved in the last 24 hours. The busiest hour was 21:00 to 22:00, with 2.',
  )
})

test('hours of which rows may be missing are marked', (t) => {
  const savedAt = new Date(NOW.getTime() - 10 * MINUTE)
  const plot = hourPlot(sample([{ savedAt }], new Date(NOW.getTime() - 3 * 60 * MINUTE)), {
    now: NOW,
    timeZone: 'UTC',
  })
  t.is(plot?.incomplete, `${((100 * 20.5) / 24).toFixed(2)}%`)
  t.deepEqual(
    plot?.columns.slice(-4).map(({ isComplete }) => isComplete),
    [false, true, true, true],
  )
})

test('without a time stamp there is no plot; with old ones alone there is one without columns', (t) => {
  t.is(hourPlot(sample([{}]), { now: NOW, timeZone: 'UTC' }), null)
  const old = hourPlot(sample([{ savedAt: new Date(0) }]), { now: NOW, timeZone: 'UTC' })
  t.is(old?.summary, 'None of these rows was saved in the last 24 hours.')
})

for (const [most, top] of [
  [1, '2'],
  [3, '4'],
  [5, '6'],
  [17, '20'],
  [76, '80'],
  [103, '120'],
  [4001, '6,000'],
] as const) {
  test(`the scale for ${most} ends at ${top}, with a whole number in its middle`, (t) => {
    const rows = Array.from({ length: most }, () => ({ savedAt: NOW }))
    const labels = hourPlot(sample(rows), { now: NOW, timeZone: 'UTC' })?.gridlines.map(({ label }) => label)
    t.is(labels?.[0], top)
    t.regex(labels?.[1] ?? '', /^[\d,]+$/)
  })
}
