import { styleText } from 'node:util'
import type { Finding } from './examine.ts'
import { verdictOf } from './examine.ts'

/** Where a check is explained. */
export function docsOf(id: string): string {
  return `docs/doctor.md#${id.toLowerCase().replace('.', '')}`
}

/** A finding for a person: one line, and for a problem its hint below. `stream` decides about colours. */
export function findingText({ id, level, title, result }: Finding, stream: NodeJS.WriteStream): string {
  const word = outcomeOf({ level, result })
  const mark = styleText(COLOURS[word], word.padEnd(7), { stream })
  const head = `${mark}  ${id}  ${title}`
  if (result.outcome === 'skipped') return `${head}: because ${result.because}`
  if (result.outcome === 'ok') return `${head}: ${result.read}`
  return `${head}\n         found: ${result.read}\n         to do: ${result.hint}\n         see ${docsOf(id)}`
}

/** The skipped checks for a person: a line for each reason, with the ids. Empty when none was skipped. */
export function skippedText(findings: readonly Finding[], stream: NodeJS.WriteStream): string {
  const byReason = Map.groupBy(
    findings.filter(({ result }) => result.outcome === 'skipped'),
    ({ result }) => (result.outcome === 'skipped' ? result.because : ''),
  )
  return [...byReason]
    .map(([because, group]) => {
      const mark = styleText(COLOURS.Skipped, 'Skipped', { stream })
      return `${mark}  ${group.map(({ id }) => id).join(', ')}\n         because ${because}\n`
    })
    .join('')
}

/** The findings as `--json` prints them. */
export function findingsAsJson(findings: readonly Finding[]): object[] {
  return findings.map(({ result, ...finding }) => ({
    ...finding,
    ...result,
    outcome: outcomeOf({ ...finding, result }).toLowerCase(),
    docs: docsOf(finding.id),
  }))
}

/** The last line: how many checks ended how. */
export function verdictText(findings: readonly Finding[]): string {
  const count = (word: Outcome) => findings.filter((one) => outcomeOf(one) === word).length
  const counts = `${count('OK')} OK, ${count('Warning')} warnings, ${count('Failed')} failed, ${count('Skipped')} skipped`
  const verdict = {
    ok: 'Nothing wrong was found',
    warning: 'It works, with warnings',
    error: 'Something is wrong',
  }
  return `${verdict[verdictOf(findings)]}: ${counts}`
}

type Outcome = 'OK' | 'Warning' | 'Failed' | 'Skipped'

/** One of the four outcomes of a check. */
export function outcomeOf({ level, result }: Pick<Finding, 'level' | 'result'>): Outcome {
  if (result.outcome === 'ok') return 'OK'
  if (result.outcome === 'skipped') return 'Skipped'
  return level === 'error' ? 'Failed' : 'Warning'
}

const COLOURS = { OK: 'green', Warning: 'yellow', Failed: 'red', Skipped: 'dim' } as const
