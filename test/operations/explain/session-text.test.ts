import test from 'ava'
import { CAUSES } from '../../../src/operations/explain/causes.ts'
import { explainSessionData, type TextRules } from '../../../src/operations/explain/session-text.ts'
import { clock, labels, malformed, profileOf, readVectors } from '../../vectors/_vectors.ts'

function rulesOf(label: string, secretKeys: TextRules['secretKeys'] = [malformed.secretKey]): TextRules {
  return {
    secretKeys,
    profile: profileOf(label),
    storeClass: 'SessionStore',
    serializer: 'json',
    maxInflatedBytes: 16 * 1024 ** 2,
    cookieAge: 1_209_600,
    timeZone: 'UTC',
    keptIn: 'server',
    now: clock(1_700_000_000),
  }
}

/** Django's Python 3.9 and 3.11 fail at 1100 levels, 3.13 does not; here the limit is fixed. */
const READ_UNLIKE_DJANGO = /payload_nested_(?:1100|5000)$/

for (const label of labels) {
  test(`what ${label} does with each malformed text is what was measured`, (t) => {
    for (const { name, session_data, results } of malformed.cases) {
      if (READ_UNLIKE_DJANGO.test(name)) continue
      const { raises, returns = '' } = results[label] ?? {}
      const [finding] = explainSessionData(session_data, rulesOf(label)).findings
      const expected =
        raises !== undefined || !returns.startsWith('{') ? 'fails' : returns === '{}' ? 'overwrites' : 'loads'
      t.is(finding?.django ?? 'loads', expected, `${name}: ${finding?.cause}`)
    }
  })
}

test('every malformed text has a cause, and a right one by its name', (t) => {
  const causeOf = (name: string, label: string) => {
    const text = malformed.cases.find((one) => one.name === name)?.session_data ?? ''
    return explainSessionData(text, rulesOf(label)).findings[0]?.cause
  }
  t.is(causeOf('legacy_good', 'django-5.2'), 'legacy-format')
  t.is(causeOf('legacy_good', 'django-2.2'), undefined)
})

test('a text that is cut anywhere is never taken for good, and mostly named as cut', (t) => {
  for (const label of ['django-2.2', 'django-5.2'] as const) {
    const [vector] = readVectors(label).sessions.filter(({ json }) => json.length > 60)
    const text = vector?.session_data ?? ''
    const rules = rulesOf(label, [vector?.secretKey ?? ''])
    t.is(explainSessionData(text, rules).findings.length, 0)
    const causes = Array.from({ length: text.length - 1 }, (_, at) => {
      const { decoded, findings } = explainSessionData(text.slice(0, at + 1), rules)
      t.is(decoded, null)
      return findings[0]?.cause
    })
    const long = causes.slice(70)
    t.true(long.length > 30)
    t.true(long.filter((cause) => cause === 'truncated').length > long.length * 0.9, `${label}: ${long}`)
  }
})

test('a text with any character changed is never taken for good, and never an exception', (t) => {
  for (const label of ['django-2.2', 'django-3.2', 'django-5.2'] as const) {
    const [vector] = readVectors(label).sessions.filter(({ json }) => json.length > 60)
    const text = vector?.session_data ?? ''
    const rules = rulesOf(label, [vector?.secretKey ?? ''])
    for (const other of ['A', ':', '.', '=', '\0', 'é', '\n'])
      for (let at = 0; at < text.length; at += 3) {
        const changed = text.slice(0, at) + other + text.slice(at + 1)
        const { decoded, findings } = explainSessionData(changed, rules)
        if (decoded === null) t.true(findings[0] !== undefined && findings[0].cause in CAUSES)
      }
  }
})
