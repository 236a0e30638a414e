/** Runs one reader with expensive texts of maximum size; posts the name of each text after it. */
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import Koa from 'koa'
import { readQuery } from '../../src/adapters/koa/form.ts'
import { userId } from '../../src/auth/user-id.ts'
import { normalizeUsername } from '../../src/auth/username.ts'
import { readCookie, setCookie, varyOnCookie } from '../../src/django/cookie.ts'
import { checkCsrfToken, createOriginCheck, readCsrfCookie, readCsrfSession } from '../../src/django/csrf.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { getExpiryAge } from '../../src/django/expiry.ts'
import { formTypeOf, parseMultipart, parseUrlencoded } from '../../src/django/forms.ts'
import { isAllowedHost, splitDomainPort } from '../../src/django/hosts.ts'
import { canonicalize, encodeJson, parseObject, parseValue } from '../../src/django/json.ts'
import { createMessagesCookie, readSessionMessages } from '../../src/django/messages.ts'
import { lenientPath, pathInfo } from '../../src/django/path-info.ts'
import { parsePickledObject } from '../../src/django/pickle/pickle.ts'
import { iriToUri, urlHasAllowedHostAndScheme } from '../../src/django/safe-url.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { isValidSessionKey } from '../../src/django/session-key.ts'
import { b62Decode, createSigner, decodeBase64, dumps, saltedHmac, sign } from '../../src/django/signing.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { clientOf } from '../../src/http/client-info.ts'
import { createPathLabel } from '../../src/service/monitoring/path-label.ts'
import { requestIdOf } from '../../src/service/monitoring/request-log.ts'
import { encodeNext } from '../../src/service/pages/layout.ts'
import { createLoginThrottle } from '../../src/service/pages/login-throttle.ts'
import { createHostCheck } from '../../src/service/proxy/allowed-hosts.ts'
import { forwardedHeaders } from '../../src/service/proxy/forwarded-headers.ts'
import { followProxy, TRUSTED_HEADERS } from '../../src/service/proxy/trusted-proxy.ts'
import { isWebSocket } from '../../src/service/proxy/websocket.ts'
import { readOrNull } from './outcome.ts'

/** Characters of stored values and headers: far more than a server accepts. */
const SIZE = 300_000

/** Bytes of a body: DATA_UPLOAD_MAX_MEMORY_SIZE. */
const BODY_SIZE = 2_621_440

/** Each unit is repeated up to the full size, and followed by a text that makes a match fail late. */
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
  ...[
    '&',
    'a&',
    'a=1&',
    'a=1&&',
    '%',
    '%41',
    '%C3',
    '%c3%a9',
    '+',
    '\r\n',
    '\r\n\r\n',
    '--b',
    '-b',
    '--b\r\n',
  ],
  ...['a=";";', ';a="', "a*=utf-8''%41;", '{', '}', 'a{', '@', '//', '::1', '1.1.1.1, ', '%1'],
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
  'a signed timestamp': (text) => codec.decode(signer.sign(`e30:${text}`)),
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

const counts = { maxFields: 1000, maxFiles: 100 }
const multipart = (text: string, boundary = 'b') => parseMultipart(Buffer.from(text), boundary, counts)
const unlimited = { maxFields: Infinity, maxFiles: Infinity }
const repeated = (text: string, times: number) => Buffer.from(text.repeat(times))
const head = (parameters: string) => `--b\r\nContent-Disposition: form-data; ${parameters}\r\n\r\n`

/** A body and its parts. */
export const bodies: Readonly<Record<string, (text: string) => unknown>> = {
  'an urlencoded form': (text) => parseUrlencoded(Buffer.from(text), counts),
  'an urlencoded form of many fields': (text) =>
    parseUrlencoded(Buffer.from(text), { ...counts, maxFields: 50_000 }),
  'an urlencoded form in Latin-1': (text) => parseUrlencoded(Buffer.from(`\xff${text}`, 'latin1'), counts),
  'a multipart form': (text) => multipart(text),
  'a multipart form with a long boundary': (text) => multipart(text, 'b'.repeat(201)),
  'a multipart form with a boundary that begins anew': (text) => multipart(text, `${'-b'.repeat(99)}\r`),
  'a field of a multipart form': (text) => multipart(head('name="a"') + text),
  'a field in base64': (text) =>
    multipart(`--b\r\nContent-Transfer-Encoding: base64\r\n${head('name="a"').slice(5)}${text}`),
  'a multipart form of many fields': (text) =>
    parseMultipart(repeated(`${head('name="a"')}${text.slice(0, 20)}`, text.length / 400), 'b', unlimited),
  'a multipart form of many files': (text) =>
    parseMultipart(
      repeated(`${head('name="a"; filename="f"')}${text.slice(0, 20)}`, text.length / 400),
      'b',
      unlimited,
    ),
  // Parts with headers of the maximum length, in the maximum number.
  'parameters in the headers of parts': (text) =>
    multipart(head(`name="a${text.slice(0, 950)}`).repeat(1000)),
  'headers of parts': (text) => multipart(head(`name="a"\r\n${text.slice(0, 950)}`).repeat(1000)),
}

const app = new Koa()
followProxy(app, TRUSTED_HEADERS)

/** A request with this header, as Node's server creates it. */
function request(name: string, value: string): IncomingMessage {
  const message = new IncomingMessage(new Socket())
  Object.assign(message, { method: 'GET', url: '/' })
  Object.assign(message.headers, { host: 'example.com', [name]: value })
  Object.assign(message.headersDistinct, { host: ['example.com'], [name]: [value] })
  return message
}

function context(name: string, value: string): Koa.ParameterizedContext {
  const message = request(name, value)
  return app.createContext(message, new ServerResponse(message))
}

const pathLabel = createPathLabel(['/a/<b>/<slug:c>/', '/<path:d>/<int:e>'])
const throttle = createLoginThrottle({ byName: 3, byAddress: 6, window: 600 })
const allowed = { allowedHosts: ['example.com'], requireHttps: false }
const hostCheck = createHostCheck({
  allowedHosts: ['example.com', '.wild.org'],
  trustedProxy: TRUSTED_HEADERS,
})

/** Other input of a visitor: headers, the query and form fields. */
export const visitors: Readonly<Record<string, (text: string) => unknown>> = {
  'a Content-Type': formTypeOf,
  'the parameters of a Content-Type': (text) => formTypeOf(`multipart/form-data; boundary=${text}`),
  'an X-Forwarded-For header': (text) => {
    const ctx = context('x-forwarded-for', text)
    return [ctx.ip, clientOf(ctx.req, () => ctx.ip).ip]
  },
  'an X-Forwarded-Proto header': (text) => context('x-forwarded-proto', text).secure,
  'an X-Forwarded-Host header': (text) => context('x-forwarded-host', text).host,
  'an X-Forwarded-Host header that is checked': (text) => hostCheck(request('x-forwarded-host', text)),
  'a Host header that is checked': (text) => hostCheck(request('host', text)),
  'a Host header against ALLOWED_HOSTS': (text) => isAllowedHost(text, ['.example.com']),
  'the host of an absolute URL': (text) =>
    hostCheck(Object.assign(request('host', 'example.com'), { url: `http://${text}` })),
  'a Connection header': (text) =>
    forwardedHeaders(request('connection', text), { trustedProxy: TRUSTED_HEADERS }),
  'a Host header that is passed on': (text) =>
    forwardedHeaders(request('host', `a:${text}`), { trustedProxy: TRUSTED_HEADERS }),
  'an X-Forwarded-For header that is passed on': (text) =>
    forwardedHeaders(request('x-forwarded-for', text), { trustedProxy: TRUSTED_HEADERS }),
  'an Upgrade header': (text) => isWebSocket(request('upgrade', text)),
  'an X-Request-Id header': (text) => requestIdOf(request('x-request-id', text)),
  'an If-None-Match header': (text) => {
    const ctx = context('if-none-match', text)
    ctx.set('ETag', '"a"')
    ctx.status = 200
    return ctx.fresh
  },
  'an address': (text) => throttle.begin('name', text),
  'a name that logs in': (text) => throttle.begin(text, '127.0.0.1'),
  'a username': normalizeUsername,
  'an integer user id': (text) => userId(text, 'integer'),
  'a UUID user id': (text) => userId(text, 'uuid'),
  'a UUID user id that begins well': (text) => userId(`{a${text}`, 'uuid'),
  'a Forwarded header': (text) => context('forwarded', text).secure,
  'a Forwarded header that is passed on': (text) =>
    forwardedHeaders(request('forwarded', text), { trustedProxy: TRUSTED_HEADERS }),
  'a path in a query': encodeNext,
  'a path as Django sees it': (text) => pathInfo(`/${text}`),
  'a path as a lenient server sees it': (text) => lenientPath(`/${text}`),
  'a path that is logged': (text) => pathLabel(`/${text}`),
  'a target that is logged': pathLabel,
  'a path': (text) => Object.assign(context('host', 'a'), { url: `/${text}` }).path,
  'a query': (text) => readQuery(Object.assign(context('host', 'a'), { url: `/?${text}` })).get('next'),
  'a URL to go to': (text) => urlHasAllowedHostAndScheme(text, allowed),
  'a URL for a header': iriToUri,
}

const name = String(workerData)
const read = readers[name] ?? bodies[name] ?? visitors[name]
const size = name in bodies ? BODY_SIZE : SIZE

/** Milliseconds of CPU time in this thread that reading takes. */
function cpuTime(text: string): number {
  const before = process.threadCpuUsage()
  readOrNull(() => read?.(text))
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

/** Below this time for the full size, the growth does not matter and cannot be measured. */
const NEGLIGIBLE = 100

/** Eight times the text costs eight times as much to a linear reader, and 64 times to a quadratic one. */
const [PART, LIMIT] = [8, 24]

/** The growth of the cost from an eighth of the text to all of it. */
function growth(text: string): number {
  const once = cpuTime(text)
  if (once < NEGLIGIBLE) return 0
  const least = (one: string) => Math.min(cpuTime(one), cpuTime(one), cpuTime(one))
  const part = least(text.slice(0, text.length / PART))
  // One reading of the full text is enough where it is fast: the least of several would only be faster.
  if (once <= LIMIT * part) return once / part
  const full = least(text)
  return full < NEGLIGIBLE ? 0 : full / part
}

if (parentPort !== null && read !== undefined) {
  for (const unit of UNITS) {
    for (const end of ENDS) {
      const grown = growth(unit.repeat(size / unit.length) + end)
      if (grown > LIMIT)
        throw new Error(`${JSON.stringify(unit)}: ${grown} times the cost for ${PART} times the text`)
    }
    parentPort.postMessage(unit)
  }
}
