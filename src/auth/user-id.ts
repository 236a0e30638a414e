import type { UserIdType } from './user-model.ts'

/**
 * Returns the primary key in the form in which `_auth_user_id` stores it: decimal digits, a lower-case UUID with dashes,
 * or the text itself. Null for a value that cannot be a primary key of this type.
 * Unlike Django, which answers 500 for `'abc'` where the primary key is an integer: here the visitor is anonymous.
 * Source: `to_python` and `value_to_string` of the fields in django/db/models/fields/__init__.py.
 */
export function userId(value: unknown, type: UserIdType): string | null {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return null
  return readers[type](String(value))
}

/** Leaves room for all that Python accepts around the 32 digits; many more braces would cost quadratic time. */
const MAX_UUID_LENGTH = 100

const readers: Readonly<Record<UserIdType, (text: string) => string | null>> = {
  integer(text) {
    if (!/^-?\d{1,19}$/.test(text)) return null
    const integer = BigInt(text)
    return BigInt.asIntN(64, integer) === integer ? String(integer) : null
  },
  uuid(text) {
    if (text.length > MAX_UUID_LENGTH) return null
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
