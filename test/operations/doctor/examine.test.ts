import test from 'ava'
import { type Check, type Evidence, perRun, type Result, TAGS } from '../../../src/operations/doctor/check.ts'
import { CHECKS } from '../../../src/operations/doctor/checks.ts'
import { examine, type Finding, verdictOf } from '../../../src/operations/doctor/examine.ts'

const evidence = { signal: null } as Evidence
const OK: Result = { outcome: 'ok', read: 'two rows' }
const FAILED: Result = { outcome: 'failed', read: 'no row', hint: 'write one' }

function check(id: Check['id'], run: Check['run'] | Result, more: Partial<Check> = {}): Check {
  const given = typeof run === 'function' ? run : async () => run
  return { id, title: id, meaning: 'm', remedy: 'r', isCheap: false, run: given, ...more }
}

const outcomes = (findings: readonly Finding[]) => findings.map(({ id, result }) => `${id} ${result.outcome}`)

test('ids are unique, and begin with a group', (t) => {
  const ids = CHECKS.map(({ id }) => id)
  t.is(new Set(ids).size, ids.length)
  for (const id of ids) t.regex(id, new RegExp(`^(?:${TAGS.join('|')})\\.[EWI]\\d{3}$`))
})

test('a check that is named in `after` comes before', (t) => {
  for (const [index, { id, after = [] }] of CHECKS.entries())
    for (const one of after)
      t.true(
        CHECKS.slice(0, index).some((other) => other.id === one),
        `${id} after ${one}`,
      )
})

test('a check whose cause has failed is skipped, and names it', async (t) => {
  const checks = [check('users.E001', FAILED), check('users.E002', OK, { after: ['users.E001'] })]
  const findings = await examine({ evidence, checks })
  t.deepEqual(outcomes(findings), ['users.E001 failed', 'users.E002 skipped'])
  t.deepEqual(findings[1]?.result, { outcome: 'skipped', because: 'users.E001 failed' })
})

test('a check that throws is skipped; the words of a driver, which may quote data, are not shown', async (t) => {
  const thrown = [
    Object.assign(new Error('Duplicate entry secret'), { code: 'ER_DUP_ENTRY' }),
    new TypeError('no such thing as secret'),
    Object.assign(new Error('the table is gone; migrate'), { code: 'ERR_MISSING_TABLES' }),
  ]
  const checks = thrown.map((error) => check('users.E001', () => Promise.reject(error)))
  t.deepEqual(
    (await examine({ evidence, checks })).map(({ result }) => 'because' in result && result.because),
    ['ER_DUP_ENTRY', 'TypeError', 'the table is gone; migrate'].map(
      (why) => `it could not be checked: ${why}`,
    ),
  )
})

test('tags, silenced ids and cheapOnly choose the checks', async (t) => {
  const checks = [
    check('users.E001', OK, { isCheap: true }),
    check('users.E002', OK),
    check('http.E001', OK, { isCheap: true }),
  ]
  t.deepEqual(outcomes(await examine({ evidence, checks, tags: ['users'], silenced: ['users.E002'] })), [
    'users.E001 ok',
  ])
  t.deepEqual(outcomes(await examine({ evidence, checks, cheapOnly: true })), [
    'users.E001 ok',
    'http.E001 ok',
  ])
})

test('the verdict is the worst level that failed', async (t) => {
  const verdict = async (...ids: Check['id'][]) =>
    verdictOf(await examine({ evidence, checks: ids.map((id) => check(id, FAILED)) }))
  t.is(await verdict(), 'ok')
  t.is(await verdict('users.I001'), 'ok')
  t.is(await verdict('users.W001', 'users.I001'), 'warning')
  t.is(await verdict('users.W001', 'users.E001'), 'error')
})

test('after Ctrl-C no further check is run', async (t) => {
  const { signal, abort } = abortable()
  const stopping = check('users.E001', async () => {
    abort()
    return OK
  })
  const findings = await examine({
    evidence: { ...evidence, signal },
    checks: [stopping, check('users.E002', OK)],
  })
  t.deepEqual(outcomes(findings), ['users.E001 ok'])
})

function abortable(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

test('a reading is shared by the checks of one run, and read anew in the next', async (t) => {
  let readings = 0
  const reading = perRun(async () => {
    readings += 1
    return readings
  })
  const read: Check['run'] = async (one) => ({ outcome: 'ok', read: String(await reading(one)) })
  const checks = [check('users.E001', read), check('users.E002', read)]
  const reads = async () =>
    (await examine({ evidence: { ...evidence }, checks })).map(
      ({ result }) => 'read' in result && result.read,
    )
  t.deepEqual(await reads(), ['1', '1'])
  t.deepEqual(await reads(), ['2', '2'])
})
