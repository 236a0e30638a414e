/** Gives one reader texts of 300,000 characters that ask much of it; posts the name of each text it is done with. */
import { parentPort, workerData } from 'node:worker_threads'
import { readCookie, setCookie, varyOnCookie } from '../../src/django/cookie.ts'
import { checkCsrfToken, createOriginCheck, readCsrfCookie, readCsrfSession } from '../../src/django/csrf.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { getExpiryAge } from '../../src/django/expiry.ts'
import { splitDomainPort } from '../../src/django/hosts.ts'
import { canonicalize, encodeJson, parseObject, parseValue } from '../../src/django/json.ts'
import { createMessagesCookie, readSessionMessages } from '../../src/django/messages.ts'
import { parsePickledObject } from '../../src/django/pickle.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { isValidSessionKey } from '../../src/django/session-key.ts'
import { b62Decode, createSigner, decodeBase64, dumps, saltedHmac, sign } from '../../src/django/signing.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { readOrNull } from './outcome.ts'

const SIZE = 300_000

/** Each is repeated to 300,000 characters, and followed by what makes a match fail late. */
const UNITS = [
  ...[
    ' ',
    '\t',
    '\n',
    '0',
    '9',
    'a',
    'z',
    '-',
    '+',
    '.',
    ',',
    ':',
    ';',
    '=',
    '"',
    "'",
    '\\',
    '/',
    '\0',
    '\x7f',
    'é',
    '홍',
    '😀',
  ],
  ...[
    '\\\\',
    '\\"',
    '\\u0041',
    '\\ud83d',
    '\\012',
    '[',
    ']',
    '{',
    '}',
    '[]',
    '{}',
    '[[],',
    '{"a":',
    '"a":1,',
    '[1,',
    '1,',
    '"a",',
  ],
  ...[
    'a=b;',
    'sessionid=a;',
    'sessionid="a";',
    ' =',
    '1:',
    'a:',
    '::',
    'a.',
    '.-',
    '[:',
    '1.',
    '1e',
    '-0',
    '1 ',
    ' 1',
    ' -',
    '2026-',
  ],
  ...['AA', 'AA=', '==', '_-', '+/', 'e30', 'e30:', 'Z', 'T', 'W', 'Cookie,', ', '],
]
const ENDS = ['', 'x', '"']

const now = () => new Date(1_700_000_000_000)
const signer = createSigner({ secretKeys: ['secret'], salt: 'django.contrib.sessions.SessionStore' })
const legacyHmac = saltedHmac('django.contrib.sessionsSessionStore', 'secret', 'sha1')
const profile = versionProfile('3.2') // reads both formats
const codec = createSessionCodec({ secretKeys: ['secret'], profile, now })
const column = createDateColumn({ database: 'sqlite', useTz: false, timeZone: 'Asia/Seoul' })
const rules = {
  cookieAge: 60,
  expireAtBrowserClose: false,
  useTz: true,
  timeZone: 'UTC',
  storesIsoExpiry: true,
}
const csrfTokens = (text: string) => ({
  received: readCsrfCookie('a'.repeat(64), profile.csrf),
  field: text,
  header: text,
  headerName: 'HTTP_X_CSRFTOKEN',
})
const checkOrigin = createOriginCheck({
  rules: versionProfile('6.1').csrf,
  trustedOrigins: ['https://*.wild.org'],
})
const https = { method: 'POST', isSecure: true, host: 'example.com', port: '443' }
const messages = createMessagesCookie({ secretKeys: ['secret'], profile, now })
const hashedMessages = createMessagesCookie({ secretKeys: ['secret'], profile: versionProfile('2.2'), now })
const messagesHmac = saltedHmac('django.contrib.messages', 'secret', 'sha1')
const messagesSigner = createSigner({
  secretKeys: ['django.http.cookiessecret'],
  salt: 'django.contrib.messages',
})
const cookie = { name: 'sessionid', domain: null, path: '/', secure: false, httpOnly: true, sameSite: null }

export const readers: Readonly<Record<string, (text: string) => unknown>> = {
  'a column': (text) => codec.decode(text),
  'a signed payload': (text) => codec.decode(sign(signer, text, { now })),
  'a signed time stamp': (text) => codec.decode(signer.sign(`e30:${text}`)),
  'signed JSON': (text) => codec.decode(dumps(signer, text, { now })),
  'a member of signed JSON': (text) => codec.decode(dumps(signer, `{"a":${text}`, { compress: true, now })),
  'signed JSON of Django before 3.1': (text) => {
    const json = encodeJson(text).toString('latin1')
    const row = `${legacyHmac().update(json, 'latin1').digest('hex')}:${json}`
    return codec.decode(Buffer.from(row, 'latin1').toString('base64'))
  },
  'a column of base64': (text) => codec.decode(Buffer.from(text).toString('base64')),
  base64: decodeBase64,
  'base 62': b62Decode,
  'JSON members': parseObject,
  'a JSON value': parseValue,
  'a JSON value in brackets': (text) => parseValue(`[${text}]`),
  'JSON to be printed': canonicalize,
  'JSON text to be printed': (text) => canonicalize(JSON.stringify(text)),
  'a pickle': (text) => parsePickledObject(Buffer.from(text, 'latin1')),
  'a str in a pickle': (text) => parsePickledObject(Buffer.from(`}Va\nV${text}\ns.`, 'latin1')),
  'an int in a pickle': (text) => parsePickledObject(Buffer.from(`}Va\nL${text}L\ns.`, 'latin1')),
  'an expire_date': column.fromColumn,
  'an expire_date that begins well': (text) => column.fromColumn(`2026-11-23 08:25:12.1${text}`),
  'an expiry': (text) => getExpiryAge(text, rules, now()),
  'an expiry that begins well': (text) => getExpiryAge(`2026-11-23T08:25:12.1${text}`, rules, now()),
  'a Cookie header': (text) => readCookie(text, 'sessionid'),
  'a cookie': (text) => readCookie(`sessionid=${text}`, 'sessionid'),
  'a quoted cookie': (text) => readCookie(`sessionid="${text}"`, 'sessionid'),
  'a session key': (text) =>
    isValidSessionKey(text) &&
    setCookie({ ...cookie, sameSite: null }, text, { maxAge: 60, now: now(), profile }),
  'a Vary header': (text) => varyOnCookie(text, profile),
  'a CSRF cookie': (text) => readCsrfCookie(text, profile.csrf),
  'a CSRF secret in the session': (text) => readCsrfSession(text, profile.csrf),
  'a CSRF token': (text) => checkCsrfToken(csrfTokens(text), profile.csrf),
  'an Origin header': (origin) => checkOrigin({ ...https, origin, referer: undefined }),
  'an Origin header with a scheme': (text) =>
    checkOrigin({ ...https, origin: `https://${text}`, referer: undefined }),
  'a Referer header': (referer) => checkOrigin({ ...https, origin: undefined, referer }),
  'a Referer header with a scheme': (text) =>
    checkOrigin({ ...https, origin: undefined, referer: `https://[${text}` }),
  'a cookie of messages': (text) => messages.read(text),
  'a signed cookie of messages': (text) => messages.read(sign(messagesSigner, text, { now })),
  'a hashed cookie of messages': (text) =>
    hashedMessages.read(`${messagesHmac().update(text).digest('hex')}$${text}`),
  'messages in the session': readSessionMessages,
  'messages in a list in the session': (text) => readSessionMessages(`[["__json_message",0,20,"${text}"]]`),
  'a Host header': splitDomainPort,
  'a Host header with a port': (text) => splitDomainPort(`a:${text}`),
}

const read = readers[String(workerData)]
if (parentPort !== null && read !== undefined) {
  for (const unit of UNITS) {
    for (const end of ENDS) {
      const text = unit.repeat(SIZE / unit.length) + end
      readOrNull(() => read(text))
    }
    parentPort.postMessage(unit)
  }
}
