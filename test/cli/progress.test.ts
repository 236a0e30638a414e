import { Writable } from 'node:stream'
import test from 'ava'
import { createProgress, progressText } from '../../src/cli/progress.ts'

const texts: readonly (readonly [string, Parameters<typeof progressText>[0], string])[] = [
  [
    'half done',
    { done: 1200, total: 2400, unit: 'rows', seconds: 2 },
    '[############------------] 1,200 of 2,400 rows, 50 %, 600/s, 2 s left',
  ],
  [
    'nothing done yet',
    { done: 0, total: 5_000_000, unit: 'rows', seconds: 1 },
    '[------------------------] 0 of 5,000,000 rows, 0 %, 0/s',
  ],
  [
    'hours left',
    { done: 1000, total: 5_000_000, unit: 'rows', seconds: 2 },
    '[------------------------] 1,000 of 5,000,000 rows, 0 %, 500/s, 2 h 46 min left',
  ],
  [
    'more than expected',
    { done: 12, total: 10, unit: 'rows', seconds: 1 },
    '[########################] 12 of 10 rows, 100 %, 12/s, 0 s left',
  ],
  ['an unknown total', { done: 1500, total: null, unit: 'sessions', seconds: 1 }, '1,500 sessions, 1,500/s'],
]
for (const [what, state, expected] of texts)
  test(`the progress shows count, share, rate and time left: ${what}`, (t) => {
    t.is(progressText(state), expected)
  })

/** A terminal 40 columns wide, or a pipe. */
function terminal(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const parts: string[] = []
  const write = (part: unknown, _: unknown, done: () => void): void => {
    parts.push(String(part))
    done()
  }
  const stream = Object.assign(new Writable({ write }), {
    isTTY,
    columns: 40,
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => parts.join('') }
}

test('on a terminal the bar is drawn on one line, no wider than the terminal, ten times a second at most', (t) => {
  const { stream, text } = terminal(true)
  let milliseconds = 0
  const progress = createProgress({ unit: 'rows', errors: stream, monotonic: () => milliseconds })
  for (milliseconds = 0; milliseconds < 1000; milliseconds += 10) progress.update({ done: 1, total: 2 })
  progress.end()
  const drawn = text().split('\r').slice(1)
  t.is(drawn.length, 11)
  for (const line of drawn) t.true(line.replace('\u001b[K', '').length < 40)
  t.is(drawn.at(-1), '\u001b[K')
})

test('without a terminal nothing is drawn', (t) => {
  const { stream, text } = terminal(false)
  const progress = createProgress({ unit: 'rows', errors: stream })
  progress.update({ done: 1, total: 2 })
  progress.end()
  t.is(text(), '')
})
