import { createHash, createHmac, createSecretKey, randomInt } from 'node:crypto'
import { deflateSync, inflateSync } from 'node:zlib'

export type SessionObject = Record<string, unknown>

/**
 * Django's session_data as one would write it by hand, for the targets that share Django's rows: JSON, deflated where
 * that is shorter, in base64, with a time stamp, signed. Source: django/core/signing.py, dumps and loads.
 */
export function createRowCodec(secretKey: string): {
  encode(data: SessionObject): string
  decode(text: string): SessionObject | null
} {
  const salt = 'django.contrib.sessions.SessionStoresigner'
  const key = createSecretKey(createHash('sha256').update(salt).update(secretKey).digest())
  const sign = (value: string): string => createHmac('sha256', key).update(value).digest('base64url')
  return {
    encode(data) {
      const json = Buffer.from(JSON.stringify(data).replace(/[^\0-\x7f]/g, escapeUnit), 'latin1')
      const deflated = deflateSync(json)
      const payload =
        deflated.length < json.length - 1 ? `.${deflated.toString('base64url')}` : json.toString('base64url')
      const value = `${payload}:${base62(Math.floor(Date.now() / 1000))}`
      return `${value}:${sign(value)}`
    },
    decode(text) {
      const at = text.lastIndexOf(':')
      const value = text.slice(0, at)
      if (sign(value) !== text.slice(at + 1)) return null
      const payload = value.slice(0, value.lastIndexOf(':'))
      const data = payload.startsWith('.')
        ? inflateSync(Buffer.from(payload.slice(1), 'base64url'))
        : Buffer.from(payload, 'base64url')
      return JSON.parse(data.toString('latin1'))
    },
  }
}

/** A date as in Django's expire_date: UTC, without a time zone. */
export function inTwoWeeks(): string {
  return column(Date.now() + 1_209_600_000)
}

export function column(time: number): string {
  return new Date(time).toISOString().replace('T', ' ').replace('Z', '000')
}

export function newSessionKey(): string {
  let key = ''
  while (key.length < 32) key += DIGITS.charAt(randomInt(36))
  return key
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function base62(integer: number): string {
  const rest = Math.floor(integer / 62)
  return (rest > 0 ? base62(rest) : '') + BASE62.charAt(integer % 62)
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
