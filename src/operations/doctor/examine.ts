import { type Check, type CheckId, type Evidence, type Result, TAGS, type Tag } from './check.ts'
import { CHECKS } from './checks.ts'

/** One check and what it found. */
export interface Finding {
  readonly id: CheckId
  readonly level: Level
  readonly title: string
  readonly result: Result
}

export type Level = 'error' | 'warning' | 'info'

export interface DoctorOptions {
  readonly evidence: Evidence
  /** Only checks of these groups; default: all. */
  readonly tags?: readonly Tag[]
  /** Ids that are left out. */
  readonly silenced?: readonly string[]
  /** Only the checks that the service runs at its start. */
  readonly cheapOnly?: boolean
  /** Called as soon as a check has its result. */
  readonly onFinding?: (finding: Finding) => void
  readonly checks?: readonly Check[]
}

/**
 * Runs the checks in the order of their table. A check that throws is skipped with the reason, so that one broken reading
 * does not hide the others. After the abort of `evidence.signal`, no further check is run.
 */
export async function examine({
  evidence,
  tags = TAGS,
  silenced = [],
  cheapOnly = false,
  onFinding = () => {},
  checks = CHECKS,
}: DoctorOptions): Promise<Finding[]> {
  const findings: Finding[] = []
  const failed = new Set<CheckId>()
  for (const check of checks) {
    if (evidence.signal?.aborted === true) break
    if (silenced.includes(check.id) || !tags.includes(tagOf(check.id)) || (cheapOnly && !check.isCheap))
      continue
    const result = await resultOf(check, { evidence, failed })
    if (result.outcome === 'failed') failed.add(check.id)
    const finding = { id: check.id, level: levelOf(check.id), title: check.title, result }
    findings.push(finding)
    onFinding(finding)
  }
  return findings
}

async function resultOf(
  check: Check,
  { evidence, failed }: { evidence: Evidence; failed: ReadonlySet<CheckId> },
): Promise<Result> {
  const cause = check.after?.find((id) => failed.has(id))
  if (cause !== undefined) return { outcome: 'skipped', because: `${cause} failed` }
  try {
    return await check.run(evidence)
  } catch (error) {
    return { outcome: 'skipped', because: `it could not be checked: ${messageOf(error)}` }
  }
}

/** The message of an error of ours. Those of drivers may quote data, so only their codes are shown. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'an unknown error'
  const code = 'code' in error ? String(error.code) : error.name
  return code.startsWith('ERR_') ? error.message : code
}

function tagOf(id: CheckId): Tag {
  return id.slice(0, id.indexOf('.')) as Tag
}

/** `database.W002`: warning. */
export function levelOf(id: CheckId): Level {
  const letter = id.charAt(id.indexOf('.') + 1)
  if (letter === 'E') return 'error'
  return letter === 'W' ? 'warning' : 'info'
}

/** The verdict on all findings: the worst level that failed, or `ok`. */
export function verdictOf(findings: readonly Finding[]): 'ok' | 'warning' | 'error' {
  const levels = new Set(
    findings.filter(({ result }) => result.outcome === 'failed').map(({ level }) => level),
  )
  if (levels.has('error')) return 'error'
  return levels.has('warning') ? 'warning' : 'ok'
}
