import { PickleRefused } from './pickle/errors.ts'

/**
 * Why a session cannot be read.
 * - `format`: not a format that this Django writes; perhaps another Django version writes it than the configured one.
 * - `signature`: the signature matches none of the secret keys; SECRET_KEY probably differs from that of the Django site.
 * - `payload`: the signature matches, but the content cannot be read; perhaps the serializer differs.
 * - `not-an-object`: the signature matches, but the content is not a dictionary.
 * - `too-large`: the signature matches, but the content is larger than the limit, perhaps only after decompression.
 * - `expire-date`: `expire_date` does not contain a date that Django can read.
 */
export type UnreadableReason =
  | 'format'
  | 'signature'
  | 'payload'
  | 'not-an-object'
  | 'too-large'
  | 'expire-date'

/** A stored session cannot be read; `reason` says why. */
export class UnreadableSession extends Error {
  override name = 'UnreadableSession'
  readonly code: string = 'ERR_SESSION_UNREADABLE'
  readonly reason: UnreadableReason

  constructor(reason: UnreadableReason, options?: ErrorOptions) {
    // The cause contains only a class name: it shows what kind of object the site pickles, but no session data.
    const { cause } = options ?? {}
    super(
      cause instanceof PickleRefused ? `${MESSAGES[reason]}: ${cause.message}` : MESSAGES[reason],
      options,
    )
    this.reason = reason
  }
}

/**
 * For `catch`: null instead of a session that cannot be read.
 * @throws every other error
 */
export function unlessUnreadable(error: unknown): null {
  if (error instanceof UnreadableSession) return null
  throw error
}

const MESSAGES: Readonly<Record<UnreadableReason, string>> = {
  format:
    'The stored session is not in a format that this Django version reads; check which Django version writes it',
  signature:
    'The signature of the stored session matches none of the secret keys; check that they are those of the Django project',
  payload:
    'The signature of the stored session matches, but its content cannot be read; check SESSION_SERIALIZER: it must be as in settings.py',
  'not-an-object':
    'The signature of the stored session matches, but its content is not a dictionary; Django itself fails on it',
  'too-large': 'The signature of the stored session matches, but its content is larger than the limit',
  'expire-date': 'The expire_date of the stored session is not a date; Django itself fails on it',
}
