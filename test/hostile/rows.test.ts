import { createHash, createHmac } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import test from 'ava'
import { createSessionCodec, type UnreadableReason } from '../../src/django/session-data.ts'
import { createSigner, dumps, sign } from '../../src/django/signing.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { readVectors } from '../vectors/_vectors.ts'
import { readLog, SECRET_KEY, type Site, startSite, visit, watch } from './site.ts'

const KEY = 'abcdefghijklmnopqrstuvwxyz012345'
const SALT = 'django.contrib.sessions.SessionStore'
const LATER = '2999-01-01 00:00:00'

const now = () => new Date()
const signer = createSigner({ secretKeys: [SECRET_KEY], salt: SALT })
const codecOf = (version: string, secretKey = SECRET_KEY, storeClass = 'SessionStore') =>
  createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile(version),
    storeClass,
    maxInflatedBytes: Infinity,
    now,
  })

/** JSON text with a valid signature. */
const signed = (json: string, compress = false) => dumps(signer, json, { compress, now })
/** Any other bytes with a valid signature. */
const signedBytes = (bytes: Buffer) => sign(signer, `.${bytes.toString('base64url')}`, { now })

const DATA = new Map([['num_visits', '41']])
const good = codecOf('5.2').encode(DATA)
const legacy = codecOf('2.2').encode(DATA)
const json = '{"num_visits":41}'

type Row = [name: string, sessionData: string, reason: UnreadableReason]

const unreadable: Row[] = [
  ['nothing', '', 'format'],
  ['a space', ' ', 'format'],
  ['colons', '::', 'format'],
  ['many colons', ':'.repeat(100_000), 'format'],
  ['plain JSON', json, 'format'],
  ['text that is not ASCII', '홍길동:😀', 'format'],
  ['a row without its last character', good.slice(0, -1), 'signature'],
  ['a row without its signature', unsigned(good), 'format'],
  ['a row without its first character', good.slice(1), 'signature'],
  ['half a row', good.slice(0, 20), 'format'],
  ['a row and a space', `${good} `, 'format'],
  ['a row twice', good + good, 'format'],
  ['a row in upper case', good.toUpperCase(), 'signature'],
  ['the signature of another row', swapped(good, signed('{"num_visits":42}')), 'signature'],
  ['an empty signature', `${unsigned(good)}:`, 'format'],
  ['a signature in hexadecimal', inHex(good), 'signature'],
  ['the signature of another SECRET_KEY', codecOf('5.2', 'another').encode(DATA), 'signature'],
  ['the signature of an empty SECRET_KEY', codecOf('5.2', '').encode(DATA), 'signature'],
  [
    'the signature of another class of sessions',
    codecOf('5.2', SECRET_KEY, 'Other').encode(DATA),
    'signature',
  ],
  ['the format of Django before 3.1', legacy, 'format'],
  ['no timestamp', signer.sign('e30'), 'payload'],
  ['a timestamp that is not a number', signer.sign('e30:-_'), 'payload'],
  ['a timestamp of a million digits', signer.sign(`e30:${'z'.repeat(1_000_000)}`), 'payload'],
  ['incomplete base64', sign(signer, 'e30ab', { now }), 'payload'],
  ['no base64', sign(signer, '!!!', { now }), 'payload'],
  ['incomplete JSON', signed('{"num_visits":'), 'payload'],
  ['JSON and more', signed(`${json}${json}`), 'payload'],
  ['a Python literal', signed("{'num_visits': 41}"), 'payload'],
  ['a byte order mark', signed(`\u00ef\u00bb\u00bf${json}`), 'payload'],
  ['UTF-16', sign(signer, Buffer.from(json, 'utf16le').toString('base64url'), { now }), 'payload'],
  ['a list', signed('[1]'), 'not-an-object'],
  ['null', signed('null'), 'not-an-object'],
  ['a number', signed('5'), 'not-an-object'],
  ['a string', signed('"num_visits"'), 'not-an-object'],
  ['100,000 open brackets', signed('['.repeat(100_000)), 'payload'],
  ['100,000 nested lists', signed(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), 'payload'],
  ['100,000 nested objects', signed(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, true), 'payload'],
  ['an integer of 5000 digits', signed(`{"a":${'9'.repeat(5000)}}`), 'payload'],
  ['no zlib', signedBytes(Buffer.from(json)), 'payload'],
  ['half a zlib stream', signedBytes(deflateSync(json.repeat(100)).subarray(0, 20)), 'payload'],
  ['a gzip stream', signedBytes(gzipSync(json)), 'payload'],
  ['a raw deflate stream', signedBytes(deflateRawSync(json)), 'payload'],
  ['a zlib stream in a zlib stream', signedBytes(deflateSync(deflateSync(json))), 'payload'],
  ['a zip bomb of 17 MiB', signed(`{"a":"${' '.repeat(17 << 20)}"}`, true), 'too-large'],
  ['a value of 20 MB', signed(`{"a":"${noise(20_000_000)}"}`), 'too-large'],
  ['a value of 20 MB, compressed', signed(`{"a":"${noise(20_000_000)}"}`, true), 'too-large'],
  ...readVectors('django-4.2')
    .sessionsPickle.filter(({ name }) => /^(simple_types|pickle_.*)$/.test(name))
    .map(
      ({ name, session_data }): Row => [`the pickle ${name}`, signer.sign(unsigned(session_data)), 'payload'],
    ),
  [
    'a pickle',
    sign(signer, Buffer.from('\x80\x05}\x94\x8c\x01a\x94K\x01s.', 'latin1').toString('base64url'), { now }),
    'payload',
  ],
  [
    'a pickle that runs a command',
    sign(signer, Buffer.from("cos\nsystem\n(S'true'\ntR.").toString('base64url'), { now }),
    'payload',
  ],
]

const readable: [name: string, sessionData: string, visits: string][] = [
  ['5000 nested lists', signed(`{"a":${'['.repeat(5000)}${']'.repeat(5000)},"num_visits":41}`), '42 times'],
  [
    'a number of visits that is 5000 nested lists',
    signed(`{"num_visits":${'['.repeat(5000)}${']'.repeat(5000)}}`),
    '1 time',
  ],
  ['15 MB', signed(`{"a":"${noise(14_000_000)}","num_visits":41}`), '42 times'],
  [
    '200,000 keys',
    signed(`{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":${i}`).join()},"num_visits":41}`, true),
    '42 times',
  ],
  ['__proto__', signed('{"__proto__":{"num_visits":7},"constructor":1,"num_visits":41}'), '42 times'],
  ['num_visits twice', signed('{"num_visits":7,"num_visits":41}'), '42 times'],
  ['text instead of a number', signed('{"num_visits":"<script>alert(1)</script>"}'), '1 time'],
  ['an infinite number', signed('{"num_visits":1e999}'), '1 time'],
  [
    'a timestamp of the year 5000',
    signer.sign(`${Buffer.from(json).toString('base64url')}:1gSDaHk`),
    '42 times',
  ],
  ['a timestamp before 1970', signer.sign(`${Buffer.from(json).toString('base64url')}:-1`), '42 times'],
  ['another alphabet of base64', sign(signer, Buffer.from(json).toString('base64'), { now }), '42 times'],
]

for (const database of testDatabases) {
  const file = fileScope(test)
  let site: Site
  test.serial.before(`${database} contains the session of another visitor`, async () => {
    site = await startSite(file, database)
    await site
      .db('django_session')
      .insert({ session_key: 'else'.repeat(8), session_data: good, expire_date: LATER })
  })
  const visitWith = async (sessionData: string) => {
    await site.db('django_session').where({ session_key: KEY }).delete()
    await site
      .db('django_session')
      .insert({ session_key: KEY, session_data: sessionData, expire_date: LATER })
    return watch(site, () => visit(site.url, `sessionid=${KEY}`))
  }

  for (const [name, sessionData, reason] of unreadable) {
    test.serial(`${database}: a row of ${name} stays, and its visitor gets a new session`, async (t) => {
      site.reasons.length = 0
      const { result, made, changed, gone } = await visitWith(sessionData)
      t.deepEqual(site.reasons, [reason])
      t.deepEqual([result.status, result.visits], [200, '1 time'])
      t.deepEqual({ made, changed, gone }, { made: [result.key], changed: [], gone: [] })
      t.not(result.key, KEY)
      const log = readLog(site)
      t.notRegex(log, /"level":"(warn|error)"/)
      t.false(log.includes(KEY) || log.includes(sessionData.slice(0, 40) || KEY))
    })
  }

  for (const [name, sessionData, visits] of readable) {
    test.serial(`${database}: a row with ${name} is read and saved`, async (t) => {
      const { result, made, changed, gone } = await visitWith(sessionData)
      t.deepEqual([result.status, result.visits], [200, visits])
      t.deepEqual({ made, changed, gone }, { made: [], changed: [KEY], gone: [] })
      const { result: again } = await watch(site, () => visit(site.url, `sessionid=${KEY}`))
      t.is(again.visits, `${Number.parseInt(visits, 10) + 1} times`)
      t.notRegex(readLog(site), /"level":"(warn|error)"/)
    })
  }

  test.serial(`${database}: a zip bomb of 1 GiB stays, and its visitor gets a new session`, async (t) => {
    site.reasons.length = 0
    const { result, made, changed, gone } = await visitWith(signedBytes(await bombOf(1 << 30)))
    t.deepEqual([site.reasons, result.status], [['too-large'], 200])
    t.deepEqual({ made, changed, gone }, { made: [result.key], changed: [], gone: [] })
  })

  test.serial(`${database}: a value that Django signed for another purpose is not a session`, async (t) => {
    for (const [use, text] of Object.entries(await signedElsewhere())) {
      site.reasons.length = 0
      const { result, changed } = await visitWith(text)
      t.true(['signature', 'format'].includes(site.reasons.join()), use)
      t.is(result.visits, '1 time', use)
      t.deepEqual(changed, [], use)
    }
  })

  for (const [name, expireDate, isLive] of expireDates(database)) {
    test.serial(`${database}: an expire_date of ${name} is ${isLive ? 'read' : 'expired'}`, async (t) => {
      await site.db('django_session').where({ session_key: KEY }).delete()
      // Without strict mode, in which MySQL rejects such dates.
      await runScript(
        site.databaseUrl,
        `${database === 'mariadb' || database === 'mysql' ? "SET sql_mode = '';" : ''}
        INSERT INTO django_session (session_key, session_data, expire_date) VALUES ('${KEY}', '${good}', ${expireDate})`,
      )
      const { result, made, changed, gone } = await watch(site, () => visit(site.url, `sessionid=${KEY}`))
      t.deepEqual([result.status, result.visits], [200, isLive ? '42 times' : '1 time'])
      t.deepEqual(
        { made, changed, gone },
        isLive ? { made: [], changed: [KEY], gone: [] } : { made: [result.key], changed: [], gone: [] },
      )
      t.notRegex(readLog(site), /"level":"error"/)
    })
  }
}

for (const version of ['2.2', '5.2']) {
  test(`a session that is too large to be read again is not written for Django ${version}`, (t) => {
    const options = { secretKeys: [SECRET_KEY] as const, profile: versionProfile(version), now }
    const codec = createSessionCodec({ ...options, maxInflatedBytes: 1000 })
    const of = (length: number) => new Map([['k', `"${'a'.repeat(length - 8)}"`]])
    t.deepEqual(codec.decode(codec.encode(of(1000))).data, of(1000))
    t.throws(() => codec.encode(of(1001)), { code: 'ERR_PAYLOAD_TOO_LARGE' })
  })
}

const legacyRows: Row[] = [
  ['the format of Django from 3.1 on', good, 'format'],
  ['another class of sessions', codecOf('2.2', SECRET_KEY, 'Other').encode(DATA), 'signature'],
  ['another SECRET_KEY', codecOf('2.2', 'another').encode(DATA), 'signature'],
  ['the salt of the signed format', legacyUnder('django.contrib.sessions.SessionStoresigner'), 'signature'],
  ['no base64', '!!!', 'format'],
  ['incomplete base64', legacy.slice(0, -3), 'format'],
  ['half a row', Buffer.from(legacy, 'base64').subarray(0, 50).toString('base64'), 'signature'],
  ['no hash', Buffer.from(json).toString('base64'), 'format'],
  ['no colon', Buffer.from('a'.repeat(40)).toString('base64'), 'format'],
  ['a megabyte of padding', '='.repeat(1_000_000), 'format'],
  ['a value of 20 MB', codecOf('2.2').encode(new Map([['a', `"${noise(20_000_000)}"`]])), 'too-large'],
]
for (const [name, sessionData, reason] of legacyRows) {
  test(`on Django 2.2, a row with ${name} stays, and its visitor gets a new session`, async (t) => {
    const site = await startSite(t, 'sqlite', { profile: versionProfile('2.2') })
    await site
      .db('django_session')
      .insert({ session_key: KEY, session_data: sessionData, expire_date: LATER })
    const { result, made, changed, gone } = await watch(site, () => visit(site.url, `sessionid=${KEY}`))
    t.deepEqual([site.reasons, result.status, result.visits], [[reason], 200, '1 time'])
    t.deepEqual({ made, changed, gone }, { made: [result.key], changed: [], gone: [] })
  })
}

/** SQL for dates that no Django writes, and whether such a session is live. */
function expireDates(database: TestDatabaseName): [name: string, sql: string, isLive: boolean][] {
  const last: [string, string, boolean] = ['the last moment of 9999', "'9999-12-31 23:59:59.999999'", true]
  if (database === 'postgresql') {
    return [
      last,
      ['infinity', "'infinity'", false],
      ['-infinity', "'-infinity'", false],
      ['the year 10001', "'10001-01-01 00:00:00'", false],
      ['44 BC', "'0044-03-15 00:00:00 BC'", false],
    ]
  }
  if (database === 'sqlite') {
    return [
      last,
      ['no text', "''", false],
      ['None', "'None'", false],
      ['null', "'null'", false],
      ['a number', '4102444800000', false],
      ['30 February', "'2999-02-30 00:00:00'", false],
      ['a year of five digits', "'99999-01-01 00:00:00'", false],
      ['bytes', "X'ff00'", false],
      ['a megabyte of blanks', `'9' || '${' '.repeat(1_000_000)}' || 'x'`, false],
    ]
  }
  return [
    last,
    ['0000-00-00', "'0000-00-00 00:00:00'", false],
    ['2999-00-00', "'2999-00-00 00:00:00'", false],
  ]
}

let elsewhere: Promise<Record<string, string>> | undefined

/** The payload of a session, signed by the newest Django for other purposes, and its other tokens. */
function signedElsewhere(): Promise<Record<string, string>> {
  elsewhere ??= djangoShell(djangoVersions.at(-1) ?? '', {
    env: { SECRET_KEY },
    script: `
import json
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.http import HttpResponse
data = {'num_visits': 41}
payload = signing.dumps(data).split(':')[0]
response = HttpResponse()
response.set_signed_cookie('sessionid', payload)
print(json.dumps({
    'signing.dumps': signing.dumps(data),
    'the signed_cookies engine': signing.dumps(data, salt='django.contrib.sessions.backends.signed_cookies'),
    'set_signed_cookie': response.cookies['sessionid'].value,
    'get_cookie_signer': signing.get_cookie_signer(salt='django.contrib.sessions.SessionStore').sign(payload),
    'messages': signing.get_cookie_signer(salt='django.contrib.messages').sign(payload),
    'TimestampSigner': signing.TimestampSigner().sign(payload),
    'Signer': signing.Signer(salt='django.contrib.sessions').sign_object(data),
    'a password reset': default_token_generator.make_token(User(pk=1, password='x', email='')),
    'a password reset after a payload': payload + ':' + default_token_generator.make_token(User(pk=1)).replace('-', ':'),
}))`,
  }).then((printed) => JSON.parse(printed) as Record<string, string>)
  return elsewhere
}

/** A zlib stream of spaces: one block, repeated. The checksum is missing, but no reader gets that far. */
async function bombOf(bytes: number): Promise<Buffer> {
  const block = await promisify(deflateRaw)(Buffer.alloc(16 << 20, ' '), { finishFlush: 3 })
  return Buffer.concat([Buffer.from([0x78, 0x9c]), ...Array.from({ length: bytes >> 24 }, () => block)])
}

/** Letters that compress to no less than three quarters. */
function noise(length: number): string {
  const hashes = Array.from({ length: 1000 }, (_, i) =>
    createHash('sha512').update(`${i}`).digest('base64url'),
  )
  // Longer than the window in which zlib finds repetitions.
  const block = hashes.join('')
  return block.repeat(Math.ceil(length / block.length)).slice(0, length)
}

function unsigned(row: string): string {
  return row.slice(0, row.lastIndexOf(':'))
}

/** The first row's payload with the second's signature. */
function swapped(one: string, other: string): string {
  return unsigned(one) + other.slice(other.lastIndexOf(':'))
}

function inHex(row: string): string {
  const signature = row.slice(row.lastIndexOf(':') + 1)
  return `${unsigned(row)}:${Buffer.from(signature, 'base64url').toString('hex')}`
}

function legacyUnder(key: string): string {
  return Buffer.from(
    `${createHmac('sha1', key + SECRET_KEY)
      .update(json)
      .digest('hex')}:${json}`,
  ).toString('base64')
}
