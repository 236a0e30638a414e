import type { UserIdType } from './user-model.ts'

/**
 * The primary key that this value names, as `_auth_user_id` holds it: decimal digits, a UUID in small letters with
 * dashes, or the text itself. Null for one that no user can have.
 * Unlike Django, which answers 500 for `'abc'` where the key is an integer: its visitor is nobody, and stays so.
 * Source: `to_python` and `value_to_string` of the fields in django/db/models/fields/__init__.py.
 */
export function userId(value: unknown, type: UserIdType): string | null {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return null
  return readers[type](String(value))
}

/** With all that Python takes around 32 digits; more braces would cost quadratic time. */
const LONGEST_UUID = 100

const readers: Readonly<Record<UserIdType, (text: string) => string | null>> = {
  integer(text) {
    if (!/^-?\d{1,19}$/.test(text)) return null
    const integer = BigInt(text)
    return BigInt.asIntN(64, integer) === integer ? String(integer) : null
  },
  uuid(text) {
    if (text.length > LONGEST_UUID) return null
    const hex = text
      .replace(/^urn:/, '')
      .replace(/^uuid:/, '')
      .replaceAll(/^[{}]+|[{}]+$|-/g, '')
      .toLowerCase()
    return /^[\da-f]{32}$/.test(hex)
      ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
      : null
  },
  text: (text) => (text.includes('\0') ? null : text),
}
