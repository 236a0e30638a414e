import { PickleRefused } from './pickle/errors.ts'

/**
 * - `format`: no text that this Django writes; another Django, perhaps, than the one configured.
 * - `signature`: no secret key verifies it; SECRET_KEY is probably not that Django's.
 * - `payload`: verified, but its contents cannot be read; another serializer, perhaps.
 * - `not-an-object`: verified, but not a dictionary.
 * - `too-large`: verified, but it is larger than the limit, or would be once inflated.
 * - `expire-date`: `expire_date` holds no date that Django reads.
 */
export type UnreadableReason =
  | 'format'
  | 'signature'
  | 'payload'
  | 'not-an-object'
  | 'too-large'
  | 'expire-date'

/** A stored session that cannot be read. */
export class UnreadableSession extends Error {
  override name = 'UnreadableSession'
  readonly code: string = 'ERR_SESSION_UNREADABLE'
  readonly reason: UnreadableReason

  constructor(reason: UnreadableReason, options?: ErrorOptions) {
    // The name of a class, which tells what this site pickles, and nothing of what a session holds.
    const { cause } = options ?? {}
    super(
      cause instanceof PickleRefused ? `${MESSAGES[reason]}: ${cause.message}` : MESSAGES[reason],
      options,
    )
    this.reason = reason
  }
}

const MESSAGES: Readonly<Record<UnreadableReason, string>> = {
  format: 'The stored session is in no format that this Django reads; check which Django version writes it',
  signature:
    'The stored session verifies under no secret key; check that the keys are those of the Django project',
  payload: 'The stored session verifies, but is not what its serializer writes; check SESSION_SERIALIZER',
  'not-an-object': 'The stored session verifies, but is no dictionary; Django itself fails on it',
  'too-large': 'The stored session verifies, but is larger than the limit',
  'expire-date': 'The stored session has an expire_date that is no date; Django itself fails on it',
}
