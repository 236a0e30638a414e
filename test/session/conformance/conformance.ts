import test from 'ava'
import { dictionary } from './dictionary.ts'
import { engineContract } from './engine-contract.ts'
import type { EngineTraits, EngineUnderTest } from './engine-under-test.ts'
import { expiry } from './expiry.ts'
import { withoutComparing, withoutExpiredRows, withoutKeptData, withoutOwnExpiry } from './lacking.ts'
import { lifeCycle } from './life-cycle.ts'
import { merging } from './merging.ts'
import { queueing } from './queueing.ts'
import { type Check, testBed } from './test-bed.ts'

interface Part {
  readonly checks: readonly Check[]
  /** Every check of the part needs this trait. */
  readonly needs?: keyof EngineTraits
  /** The part is only for a medium that lacks this trait. */
  readonly without?: keyof EngineTraits
}

const PARTS: readonly Part[] = [
  { checks: engineContract },
  { checks: dictionary },
  { checks: lifeCycle },
  { checks: expiry },
  { checks: merging, needs: 'compares' },
  { checks: queueing },
  { checks: withoutKeptData, without: 'keepsData' },
  { checks: withoutComparing, without: 'compares' },
  { checks: withoutExpiredRows, without: 'keepsExpired', needs: 'keepsData' },
  { checks: withoutOwnExpiry, without: 'obeysExpiry' },
]

const EVERY_TRAIT: EngineTraits = {
  keepsData: true,
  compares: true,
  keepsExpired: true,
  followsClock: true,
  keepsExpireDate: true,
  keepsMilliseconds: true,
  keepsText: true,
  obeysExpiry: true,
}

/**
 * Tests what every engine promises: the counterpart of Django's SessionTestsMixin (tests/sessions_tests).
 * `lacks` names the traits that the medium does not have.
 */
export function conformance(
  title: string,
  openEngine: () => Promise<EngineUnderTest>,
  { lacks = [] }: { lacks?: readonly (keyof EngineTraits)[] } = {},
): void {
  const traits: EngineTraits = {
    ...EVERY_TRAIT,
    ...(lacks.includes('keepsExpireDate') && { keepsMilliseconds: false }),
    ...Object.fromEntries(lacks.map((trait) => [trait, false])),
  }
  let opened: Promise<EngineUnderTest> | undefined
  const conforms = test.macro<[Check]>({
    title: (_, { behaviour }) => `${title}: ${behaviour}`,
    async exec(t, { check }) {
      opened ??= openEngine()
      const subject = await opened
      subject.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await subject.empty()
      await check(t, testBed(subject, traits))
    },
  })
  const leftOut: string[] = []
  for (const { checks, needs: partNeeds, without } of PARTS) {
    if (without !== undefined && traits[without]) continue
    for (const row of checks) {
      const lacking = [partNeeds, row.needs].find((trait) => trait !== undefined && !traits[trait])
      if (lacking === undefined) test.serial(conforms, row)
      else leftOut.push(`${row.behaviour} (${lacking})`)
    }
  }
  if (leftOut.length > 0) {
    test(`${title}: what its medium cannot do is known, and asked otherwise`, (t) => {
      for (const behaviour of leftOut) t.log(`not asked: ${behaviour}`)
      t.true(lacks.length > 0)
    })
  }
}
