import { quoted } from '../../checks/quoted.ts'
import { type MergePolicies, mergePolicyProblem } from '../../session/merge-policies.ts'
import type { Environment } from './environment.ts'

/** Reads SESSION_MERGE, a JSON object in the shape that the Django engine merging_sessions gives it. */
export function readSessionMerge(environment: Environment, problems: string[]): MergePolicies {
  const text = environment.text('SESSION_MERGE')
  if (text === null) return {}
  const policies = parsed(text)
  if (policies === null) {
    problems.push(
      'SESSION_MERGE is not a JSON object; write {"num_visits": "add", "cart": "union"}, as in Django',
    )
    return {}
  }
  for (const [key, policy] of Object.entries(policies)) {
    const where = `SESSION_MERGE[${quoted(key)}]`
    const problem = mergePolicyProblem(key, policy)
    if (typeof policy === 'string' && policy.includes('.'))
      problems.push(`${where} is Python code, which does not run here; choose last, add, union or fail`)
    else if (problem !== null) problems.push(`${where} ${problem}`)
  }
  return policies as MergePolicies
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Readonly<Record<string, unknown>>) : null
  } catch {
    return null
  }
}
