import { MESSAGE_LEVELS } from '../../django/messages.ts'
import type { Environment } from './environment.ts'

/** Django's MESSAGE_… settings. */
export interface MessagesSettings {
  readonly storage: 'cookie' | 'session' | 'fallback'
  /** Messages below it are not kept. */
  readonly level: number
  /** Level to tag, besides Django's. */
  readonly tags: Readonly<Record<number, string>>
}

const STORAGES = {
  'django.contrib.messages.storage.fallback.FallbackStorage': 'fallback',
  'django.contrib.messages.storage.cookie.CookieStorage': 'cookie',
  'django.contrib.messages.storage.session.SessionStorage': 'session',
} as const

export function readMessagesSettings(environment: Environment, problems: string[]): MessagesSettings {
  const paths = Object.keys(STORAGES) as (keyof typeof STORAGES)[]
  const byDefault = 'django.contrib.messages.storage.fallback.FallbackStorage'
  return {
    storage: STORAGES[environment.oneOf('MESSAGE_STORAGE', paths, byDefault)],
    level: environment.number('MESSAGE_LEVEL', MESSAGE_LEVELS.info),
    tags: readTags(environment, problems),
  }
}

function readTags(environment: Environment, problems: string[]): Readonly<Record<number, string>> {
  try {
    const tags: unknown = JSON.parse(environment.text('MESSAGE_TAGS') ?? '{}')
    if (isTags(tags)) return tags
  } catch {
    // Reported below.
  }
  problems.push('MESSAGE_TAGS is not a JSON object of levels and tags; write e.g. {"40": "danger"}')
  return {}
}

function isTags(value: unknown): value is Record<number, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(value).every(([level, tag]) => /^\d+$/.test(level) && typeof tag === 'string')
}
