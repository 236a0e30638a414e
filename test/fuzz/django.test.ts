import { Buffer } from 'node:buffer'
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import { readCookie, setCookie } from '../../src/django/cookie.ts'
import { createDateColumn, readIsoDate } from '../../src/django/datetime.ts'
import {
  type ExpiryRules,
  getExpireAtBrowserClose,
  getExpiryAge,
  getExpiryDate,
} from '../../src/django/expiry.ts'
import { isAllowedHost, splitDomainPort } from '../../src/django/hosts.ts'
import {
  canonicalize,
  encodeJson,
  type PythonValue,
  parseObject,
  parseValue,
  stringifyObject,
} from '../../src/django/json.ts'
import { createSessionCodec, type UnreadableSession } from '../../src/django/session-data.ts'
import { isValidSessionKey } from '../../src/django/session-key.ts'
import {
  b62Decode,
  b62Encode,
  createSigner,
  decodeBase64,
  loads,
  saltedHmac,
  sign,
} from '../../src/django/signing.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { bytes, fuzz, json, mutated, text } from './fuzz.ts'
import { readOrNull } from './outcome.ts'

const SECRET_KEY = 'the secret key of the fuzz tests'
const SALT = 'django.contrib.sessions.SessionStore'
const now = () => new Date(1_700_000_000_000)

const signer = createSigner({ secretKeys: [SECRET_KEY], salt: SALT })
const legacyHmac = saltedHmac('django.contrib.sessionsSessionStore', SECRET_KEY, 'sha1')
const codecs = ['2.2', '3.2', '6.1'].map((version) =>
  createSessionCodec({
    secretKeys: [SECRET_KEY],
    profile: versionProfile(version),
    maxInflatedBytes: 100_000,
    now,
  }),
)

/** Decodes as each version; decoded data must survive encoding and decoding. */
function decode(sessionData: string): void {
  for (const codec of codecs) {
    const decoded = readOrNull(() => codec.decode(sessionData))
    if (decoded === null) continue
    const again = codec.decode(codec.encode(decoded.data))
    if (stringifyObject(again.data) !== stringifyObject(decoded.data)) throw new Error('written otherwise')
  }
}

const base64 = fc.oneof(
  bytes.map((each) => each.toString('base64url')),
  bytes.map((each) => each.toString('base64')),
  text,
)
const compressed = fc
  .tuple(fc.oneof(json, text), fc.constantFrom(deflateSync, deflateRawSync, gzipSync), fc.nat(), fc.nat(3))
  .map(([content, deflate, cut, extra]) => {
    const stream = deflate(encodeJson(content))
    return Buffer.concat([
      stream.subarray(0, cut % 3 === 0 ? cut % stream.length : undefined),
      Buffer.alloc(extra),
    ])
  })
const payload = fc.oneof(
  base64,
  json.map((content) => encodeJson(content).toString('base64url')),
  mutated(json).map((content) => encodeJson(content).toString('base64url')),
  compressed.map((stream) => `.${stream.toString('base64url')}`),
  compressed.chain((stream) => mutated(fc.constant(`.${stream.toString('base64url')}`))),
)
const legacy = (content: string) => {
  const latin1 = encodeJson(content)
  const hash = legacyHmac().update(latin1).digest('hex')
  return Buffer.from(`${hash}:${latin1.toString('latin1')}`, 'latin1').toString('base64')
}
const signed = fc.oneof(
  payload.map((each) => sign(signer, each, { now })),
  fc.tuple(payload, text).map(([each, stamp]) => signer.sign(`${each}:${stamp}`)),
  payload.map((each) => signer.sign(each)),
)
const legacySigned = fc.oneof(json, mutated(json), text).map(legacy)

fuzz('any column is read or rejected', fc.oneof(text, base64, mutated(base64)), decode)
fuzz('any content with a valid signature is read or rejected', signed, decode)
fuzz('a changed row with a formerly valid signature is read or rejected', mutated(signed), decode)
fuzz('any content with a valid hash of Django before 3.1 is read or rejected', legacySigned, decode)
fuzz(
  'a changed row with a formerly valid hash of Django before 3.1 is read or rejected',
  mutated(legacySigned),
  decode,
)

fuzz('all JSON parsers accept and reject the same texts', fc.oneof(json, mutated(json), text), (any) => {
  const printed = readOrNull(() => canonicalize(any))
  const value = readOrNull(() => parseValue(any))
  const members = readOrNull(() => parseObject(any))
  if ((printed === null) !== (value === null && printed !== 'null'))
    throw new Error('read by one, refused by the other')
  if (printed !== null && canonicalize(printed) !== printed) throw new Error('not canonical')
  if (members !== null && canonicalize(stringifyObject(members)) !== printed)
    throw new Error('a member was lost')
})

fuzz('a signed value is loaded or rejected', mutated(signed), (any) => {
  readOrNull(() => loads(signer, any, { now, maxAge: 60, maxInflatedBytes: 1000 }))
  readOrNull(() => decodeBase64(any))
})

fuzz(
  'a timestamp is parsed or rejected',
  fc.oneof(text, fc.bigInt().map(b62Encode), mutated(fc.bigInt().map(b62Encode))),
  (any) => {
    const integer = readOrNull(() => b62Decode(any))
    if (integer !== null && b62Decode(b62Encode(integer)) !== integer) throw new Error('another number')
  },
)

const cookies = fc.array(fc.tuple(fc.constantFrom('sessionid', ' sessionid\t', 'SESSIONID', '', 'a'), text), {
  maxLength: 5,
})
const header = fc.oneof(
  text,
  cookies.map((all) => all.map(([name, value]) => `${name}=${value}`).join(';')),
)
const COOKIE = {
  name: 'sessionid',
  domain: null,
  path: '/',
  secure: false,
  httpOnly: true,
  sameSite: 'Lax',
} as const
fuzz(
  'a key from any Cookie header can be sent in a Set-Cookie header',
  fc.tuple(header, fc.boolean()),
  ([any, isUtf8]) => {
    // Node returns one character for each byte.
    const value = readCookie(Buffer.from(any, isUtf8 ? 'utf8' : 'latin1').toString('latin1'), 'sessionid')
    if (value === undefined || !isValidSessionKey(value)) return
    const cookie = setCookie(COOKIE, value, { maxAge: 60, now: now(), profile: versionProfile('6.1') })
    if (/\p{Cc}|[\xa0-\xff]/u.test(cookie)) throw new Error('a control character in a header')
    if ((cookie.match(/;/g) ?? []).length !== 5) throw new Error('an attribute of the client')
  },
)

const date = fc.oneof(
  text,
  fc.date({ noInvalidDate: true }).map((instant) => instant.toISOString()),
  fc
    .date({ noInvalidDate: true, min: new Date('0001-01-01'), max: new Date('9999-12-31') })
    .map((instant) => instant.toISOString().slice(0, 19)),
)
const columns = (['mysql', 'sqlite', 'postgresql'] as const).flatMap((database) =>
  ['UTC', 'Asia/Seoul', 'America/St_Johns'].map((timeZone) =>
    createDateColumn({ database, useTz: false, timeZone }),
  ),
)
fuzz('an expire_date is parsed or rejected', fc.oneof(date, mutated(date)), (any) => {
  for (const column of columns) {
    const instant = readOrNull(() => column.fromColumn(any))
    if (instant !== null && Number.isNaN(instant.getTime())) throw new Error('an invalid Date')
  }
  const reading = readIsoDate(any)
  if (reading !== null && !Number.isInteger(reading.digits)) throw new Error('no whole milliseconds')
})

const expiry: fc.Arbitrary<PythonValue | undefined> = fc.oneof(
  fc.oneof(date, mutated(date)),
  fc.double(),
  fc.maxSafeInteger(),
  fc.bigInt(),
  fc.constantFrom(
    undefined,
    null,
    true,
    false,
    '',
    0,
    -0,
    Number.NaN,
    Infinity,
    '9999-12-31T23:59:59-23:59',
    '0001-01-01',
  ),
  fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<PythonValue>,
)
const rules: ExpiryRules[] = [true, false].flatMap((useTz) =>
  ['UTC', 'Asia/Seoul', 'America/St_Johns'].flatMap((timeZone) =>
    [true, false].map((storesIsoExpiry) => ({
      cookieAge: 1_209_600,
      expireAtBrowserClose: false,
      useTz,
      timeZone,
      storesIsoExpiry,
    })),
  ),
)
fuzz('an expiry gives an age and a date that every column can store, or is rejected', expiry, (any) => {
  for (const rule of rules) {
    readOrNull(() => getExpiryAge(any, rule, now()))
    getExpireAtBrowserClose(any, rule)
    const expiryDate = readOrNull(() => getExpiryDate(any, rule, now()))
    if (expiryDate === null) continue
    for (const column of columns) {
      if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?(\+00:00)?$/.test(column.toColumn(expiryDate))) {
        throw new Error(`no column can hold ${expiryDate.toISOString()}`)
      }
    }
  }
})

const labels = fc.constantFrom(
  'example',
  'com',
  'EXAMPLE',
  '127',
  '0',
  '1',
  '[::1]',
  '[',
  ']',
  'xn--',
  '-',
  '_',
  'evil',
  ':80',
  ':',
  '@',
  '.',
  '..',
  '/',
  '\\',
  '?',
  '#',
  '%2e',
  'é',
  '\0',
  '\n',
)
const host = fc.oneof(
  text,
  fc.array(labels, { maxLength: 8 }).map((parts) => parts.join('')),
)
fuzz('a Host header is allowed only by its own domain', host, (any) => {
  const [domain, port] = splitDomainPort(any)
  if (!/^([a-z0-9.-]*|\[[a-f0-9:.]+\])$/.test(domain) || !/^\d*$/.test(port)) throw new Error('no domain')
  const allowed = domain === 'example.com' || domain.endsWith('.example.com')
  if (isAllowedHost(any, ['.example.com']) !== allowed) throw new Error('another domain')
  if (isAllowedHost(any, ['']) || isAllowedHost(any, [])) throw new Error('allowed by nothing')
})

test('the generated cases reach every outcome', (t) => {
  const seen = new Set<string>()
  const sample = (cases: fc.Arbitrary<string>) => fc.sample(cases, { seed: 1, numRuns: 3000 })
  for (const row of [
    ...sample(signed),
    ...sample(mutated(signed)),
    ...sample(legacySigned),
    ...sample(mutated(legacySigned)),
  ]) {
    for (const codec of codecs) {
      try {
        seen.add(codec.decode(row).format)
      } catch (error) {
        seen.add((error as UnreadableSession).reason)
        const { cause } = error as Error
        if (cause instanceof Error) seen.add(cause.name)
      }
    }
  }
  const all = ['signed', 'legacy', 'format', 'signature', 'payload', 'not-an-object']
  t.deepEqual(
    [...all, 'JSONDecodeError', 'BadPayload', 'BadSignature'].filter((each) => !seen.has(each)),
    [],
  )
})
