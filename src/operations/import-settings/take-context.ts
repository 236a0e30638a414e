import type { SettingName } from '../../service/settings/definitions.ts'
import type { Failure, ProjectFacts } from './ask-django.ts'

/** What a part of the settings is taken from, and where it goes. */
export interface Context {
  readonly facts: ProjectFacts
  /** Null: nothing is said, and the default holds. */
  readonly set: (name: SettingName, value: string | null) => void
  readonly refuse: (setting: string, reason: string) => void
  readonly warn: (setting: string, reason: string) => void
}

/** Whether Django could not say it. */
export function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'error' in value
}
