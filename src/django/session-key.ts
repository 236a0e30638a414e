import { randomInt as cryptoRandomInt } from 'node:crypto'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const LENGTH = 32
const MIN_LENGTH = 8

/**
 * A new session key: 32 characters of a-z and 0-9, each as likely as any other.
 * `randomInt(max)` gives an integer from 0 up to, not including, max.
 * Source: django/contrib/sessions/backends/base.py, _get_new_session_key and VALID_KEY_CHARS.
 */
export function newSessionKey(randomInt: (max: number) => number = cryptoRandomInt): string {
  return Array.from({ length: LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')
}

/**
 * Whether Django takes this cookie value for a session key; one that it does not counts as no key at all. The alphabet
 * is not checked. Source: django/contrib/sessions/backends/base.py, _validate_session_key.
 */
export function isValidSessionKey(key: string): boolean {
  // Python counts characters, JavaScript's length UTF-16 units.
  return key.length >= MIN_LENGTH && Array.from(key).length >= MIN_LENGTH
}

/**
 * Whether this may be a key that Django made: nothing but letters of its alphabet. Django's file engine takes no other.
 * Source: django/contrib/sessions/backends/file.py, _key_to_file.
 */
export function isGeneratedSessionKey(key: string): boolean {
  return /^[a-z0-9]+$/.test(key)
}

/**
 * Characters of the column `session_key` in the tables of Django, django-qsessions and django-user-sessions.
 * Source: django/contrib/sessions/base_session.py, AbstractBaseSession.
 */
export const SESSION_KEY_LENGTH = 40

/**
 * Whether a row can have this key, in a column of so many characters: visible ASCII, which every character set has,
 * without quotes and backslashes. mysql2 writes values into the statement and escapes them with backslashes, even where
 * sql_mode has NO_BACKSLASH_ESCAPES: there a quote in a cookie would end the string.
 */
export function isStorableKey(key: string, length: number = SESSION_KEY_LENGTH): boolean {
  return key.length <= length && /^[!#-&(-[\]-~]*$/.test(key)
}

/** No row can have this key. The message does not repeat it. */
export class InvalidSessionKey extends Error {
  override name = 'InvalidSessionKey'
  readonly code: string = 'ERR_SESSION_KEY'

  constructor(length: number = SESSION_KEY_LENGTH) {
    super(
      `A new session key cannot be stored; make it of visible ASCII without quotes and backslashes, ${length} characters at most`,
    )
  }
}
