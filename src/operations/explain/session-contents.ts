import { type ExpiryRules, getExpiryAge, InvalidSessionExpiry } from '../../django/expiry.ts'
import { JSONDecodeError, parseValue, type SessionData } from '../../django/json.ts'
import { MESSAGES_SESSION_KEY } from '../../django/messages.ts'
import { PythonDatetime } from '../../django/pickle/datetimes.ts'
import type { PickledValue } from '../../django/pickle/javascript.ts'
import { pickledValues } from '../../django/session-values.ts'
import { expiryIn } from '../../engines/stored-expiry.ts'
import type { Settings } from '../../service/settings/settings.ts'
import type { Fact, Finding } from './causes.ts'
import { durationText, siteTime, timeFrom } from './site-time.ts'

/** What the content of a session means for its life and its messages. */
export interface ContentsReading {
  readonly findings: readonly Finding[]
  readonly facts: readonly Fact[]
}

/** Looks at `_session_expiry` and `_messages`. */
export function readContents(
  data: SessionData,
  { rules, messages, now }: { rules: ExpiryRules; messages: Settings['messages']; now: Date },
): ContentsReading {
  const expiry = readExpiry(data, rules, now)
  const message = messagesProblem(data, messages)
  return {
    findings: [...expiry.findings, ...(message === null ? [] : [message])],
    facts: [...expiry.facts, ['keys', String(data.size)]],
  }
}

/** Source: django/contrib/sessions/backends/base.py, get_expiry_age and get_expire_at_browser_close. */
function readExpiry(data: SessionData, rules: ExpiryRules, now: Date): ContentsReading {
  const expiry = expiryIn(data)
  try {
    const age = getExpiryAge(expiry, rules, now)
    const isDate = typeof expiry === 'string' || expiry instanceof PythonDatetime
    return {
      facts: [['_session_expiry', meaningOf(expiry, { rules, now, age })]],
      findings: isDate && age <= 0 ? [{ cause: 'expiry-passed' }] : [],
    }
  } catch (error) {
    if (!(error instanceof InvalidSessionExpiry)) throw error
    const isOtherZone = /USE_TZ/.test(error.message)
    return {
      facts: [['_session_expiry', isOtherZone ? 'a date' : 'unreadable']],
      findings: [
        {
          cause: isOtherZone ? 'expiry-time-zone' : 'expiry-unreadable',
          detail: error.message.split(';')[0]?.replace(/^_session_expiry is /, 'it is '),
          django: 'fails-to-save',
          here: 'fails-to-save',
        },
      ],
    }
  }
}

function meaningOf(
  expiry: PickledValue | undefined,
  { rules, now, age }: { rules: ExpiryRules; now: Date; age: number },
): string {
  const isNone = expiry === undefined || expiry === null
  if (isNone && rules.expireAtBrowserClose) return 'not set: until the browser closes'
  if (isNone) return `not set: ${durationText(rules.cookieAge)} after each save`
  if (expiry === 0 || expiry === 0n || expiry === false) return '0: until the browser closes'
  if (typeof expiry === 'string' || expiry instanceof PythonDatetime) {
    const end = new Date(now.getTime() + age * 1000)
    return `a date${typeof expiry === 'string' ? '' : ', pickled'}: ${siteTime(end, rules.timeZone)}, ${timeFrom(now, end)}`
  }
  return `seconds: ${durationText(Math.max(age, 0))} after each save`
}

/** Source: django/contrib/messages/storage/session.py, deserialize_messages. */
function messagesProblem(data: SessionData, { storage }: Settings['messages']): Finding | null {
  const text = data.get(MESSAGES_SESSION_KEY)
  if (text === undefined) return null
  const list = listIn(pickledValues.parse(text))
  if (list === null) return { cause: 'messages-unreadable' }
  return storage === 'cookie' && list.length > 0
    ? { cause: 'messages-not-shown', detail: String(list.length) }
    : null
}

function listIn(value: PickledValue): readonly unknown[] | null {
  if (typeof value !== 'string') return null
  try {
    const list = parseValue(value)
    return Array.isArray(list) ? list : null
  } catch (error) {
    if (error instanceof JSONDecodeError) return null
    throw error
  }
}
