import { inspect } from 'node:util'
import { MARK, parseValue } from '../django/json.ts'
import { pickledValues } from '../django/session-values.ts'
import { type Fact, summaryOf } from './explain/causes.ts'
import { readCookieHeader } from './explain/cookie-header.ts'
import { classify, keyHash } from './explain/pasted-text.ts'
import { readContents } from './explain/session-contents.ts'
import { readSessionUser } from './explain/session-user.ts'
import { counted } from './explain/site-time.ts'
import { expiryRulesOf, readStoredSession } from './explain/stored-session.ts'
import type { Project } from './open-project.ts'

/** A session as a person wants to read it. */
export interface ShownSession {
  /** The first digits of the SHA-256 of the session key; null without a key. */
  readonly keyHash: string | null
  /** Why there is nothing to show; null for a session that is shown. */
  readonly problem: string | null
  readonly facts: readonly Fact[]
  /** The user that the session names, in the database; null for none. */
  readonly user: ShownUser | null
  /** The first keys, in the order of the session; `MOST_KEYS` at most. */
  readonly values: readonly ShownValue[]
  /** How many further keys there are. */
  readonly hiddenKeys: number
}

export interface ShownUser {
  readonly id: string
  readonly username: string
  /** Whether the login is accepted on both sides. */
  readonly isLoggedIn: boolean
}

/** One key of a session. */
export interface ShownValue {
  readonly key: string
  /** The Python type. */
  readonly type: string
  /** The length of a text, or how many items a list or a dict has; null for the other types. */
  readonly count: number | null
  /** Characters of the value as it is stored. */
  readonly size: number
  /** The value, where it was asked for; null for a secret, which is never shown. */
  readonly text?: string | null
}

/** With one of them, an attacker is the user, or passes the CSRF check. */
const SECRETS: ReadonlySet<string> = new Set(['_auth_user_hash', '_csrftoken', '_password_reset_token'])

const MOST_KEYS = 200
const LONGEST_VALUE = 2000
const LONGEST_KEY = 200

/**
 * Reads the session of a key or a Cookie header, also one that has expired. Nothing is written.
 * `reveal`: with the values, but for secrets.
 * @throws {CannotStart} when a database fails; {CacheUnavailable}.
 */
export async function showSession(
  project: Project,
  line: string,
  { reveal }: { reveal: boolean },
): Promise<ShownSession> {
  const { session, csrf, messages } = project.settings
  const pasted = classify(line, { cookieName: session.cookie.name, keptInCookie: true })
  const names = { cookieName: session.cookie.name, csrfName: csrf.cookie.name }
  const sessionKey = pasted.kind === 'cookies' ? readCookieHeader(pasted.text, names).sessionKey : pasted.text
  if (sessionKey === null || sessionKey === '')
    return {
      ...NOTHING,
      keyHash: null,
      problem: `The header has no cookie ${session.cookie.name} with a value`,
    }
  const stored = await readStoredSession(project, sessionKey)
  const { data, facts } = stored
  const [finding] = stored.findings
  const shown = { ...NOTHING, keyHash: keyHash(sessionKey), facts }
  if (data === null)
    return { ...shown, problem: finding === undefined ? 'There is no session' : summaryOf(finding) }
  const user = await readSessionUser(data, project)
  const contents = readContents(data, { rules: expiryRulesOf(project), messages, now: project.now() })
  const shownKeys = [...data].slice(0, MOST_KEYS)
  return {
    ...shown,
    problem: null,
    facts: [
      ...facts,
      ...contents.facts,
      ...(finding === undefined ? [] : [['note', summaryOf(finding)] as const]),
      ...user.findings.map((one): Fact => ['login', summaryOf(one)]),
    ],
    user:
      user.user === null
        ? null
        : { id: user.user.id, username: user.user.getUsername(), isLoggedIn: user.isLoggedIn },
    values: shownKeys.map(([key, text]) => shownValue(key, text, reveal)),
    hiddenKeys: data.size - shownKeys.length,
  }
}

const NOTHING = { facts: [], user: null, values: [], hiddenKeys: 0 } as const

function shownValue(key: string, text: string, reveal: boolean): ShownValue {
  const { type, count } = typeOf(text)
  return {
    key: shownKey(key),
    type,
    count,
    size: text.startsWith(MARK) ? text.length - text.indexOf(':', MARK.length) - 1 : text.length,
    ...(reveal && { text: SECRETS.has(key) ? null : shownText(text) }),
  }
}

/** A key of a pickle may be another type than str. */
function shownKey(key: string): string {
  if (key.startsWith(`${MARK}:`)) return cut(MARK + key.slice(MARK.length + 1), LONGEST_KEY)
  return key.startsWith(MARK) ? `(a key of type ${markedType(key)})` : cut(key, LONGEST_KEY)
}

function markedType(text: string): string {
  return text.slice(MARK.length, text.indexOf(':', MARK.length))
}

function typeOf(text: string): { type: string; count: number | null } {
  if (text.startsWith(MARK)) return { type: markedType(text), count: null }
  const value = parseValue(text)
  if (value === null) return { type: 'None', count: null }
  if (typeof value === 'boolean') return { type: 'bool', count: null }
  if (typeof value === 'string') return { type: 'str', count: Array.from(value).length }
  if (Array.isArray(value)) return { type: 'list', count: value.length }
  if (typeof value === 'object') return { type: 'dict', count: Object.keys(value).length }
  return { type: /^-?\d+$/.test(text) ? 'int' : 'float', count: null }
}

function shownText(text: string): string {
  if (!text.startsWith(MARK)) return cut(readable(text.slice(0, LONGEST_VALUE * 6)), LONGEST_VALUE)
  const value = pickledValues.parse(text)
  return cut(
    inspect(value, {
      depth: 4,
      maxArrayLength: 100,
      maxStringLength: LONGEST_VALUE,
      breakLength: Number.POSITIVE_INFINITY,
    }),
    LONGEST_VALUE,
  )
}

/** JSON with its letters as letters: Django writes all but ASCII as `\uXXXX`. */
function readable(json: string): string {
  return json.replace(/\\(?:u([\da-fA-F]{4})|.)/gs, (found, hex: string | undefined) => {
    const code = Number.parseInt(hex ?? '0', 16)
    return code < FIRST_LETTER ? found : String.fromCharCode(code)
  })
}

/** No quotes, backslashes or controls from here on. */
const FIRST_LETTER = 0xa0

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}… (cut)` : text
}

/** `3 items`, `12 characters`, '' for a value without parts. */
export function countText({ type, count }: ShownValue): string {
  if (count === null) return ''
  return counted(count, { str: 'character', list: 'item', dict: 'key' }[type] ?? 'item')
}
