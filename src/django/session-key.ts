import { randomInt as cryptoRandomInt } from 'node:crypto'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const LENGTH = 32
const MIN_LENGTH = 8

/**
 * Returns a new session key: 32 characters of a-z and 0-9, all equally likely.
 * `randomInt(max)` returns an integer from 0 to max - 1.
 * Source: django/contrib/sessions/backends/base.py, _get_new_session_key and VALID_KEY_CHARS.
 */
export function newSessionKey(randomInt: (max: number) => number = cryptoRandomInt): string {
  return Array.from({ length: LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')
}

/**
 * Whether Django accepts this cookie value as a session key; it ignores any other value. The alphabet is not checked.
 * Source: django/contrib/sessions/backends/base.py, _validate_session_key.
 */
export function isValidSessionKey(key: string): boolean {
  // Python counts code points, JavaScript's length UTF-16 units.
  return key.length >= MIN_LENGTH && Array.from(key).length >= MIN_LENGTH
}

/**
 * Whether Django could have generated this key: it contains only a-z and 0-9. Django's file engine rejects other keys.
 * Source: django/contrib/sessions/backends/file.py, _key_to_file.
 */
export function isGeneratedSessionKey(key: string): boolean {
  return /^[a-z0-9]+$/.test(key)
}

/**
 * Length of the column `session_key` in the tables of Django, django-qsessions and django-user-sessions, in characters.
 * Source: django/contrib/sessions/base_session.py, AbstractBaseSession.
 */
export const SESSION_KEY_LENGTH = 40

/**
 * Whether a key can be stored, in a column of `length` characters: visible ASCII, which every character set contains,
 * without quotes and backslashes. mysql2 writes values into the statement and escapes them with backslashes, even where
 * sql_mode has NO_BACKSLASH_ESCAPES: then a quote in a cookie would end the string.
 */
export function isStorableKey(key: string, length: number = SESSION_KEY_LENGTH): boolean {
  return key.length <= length && /^[!#-&(-[\]-~]*$/.test(key)
}

/** The session key cannot be stored. The message does not contain it. */
export class InvalidSessionKey extends Error {
  override name = 'InvalidSessionKey'
  readonly code: string = 'ERR_SESSION_KEY'

  constructor(length: number = SESSION_KEY_LENGTH) {
    super(
      `A new session key cannot be stored; use at most ${length} characters of visible ASCII without quotes and backslashes`,
    )
  }
}
