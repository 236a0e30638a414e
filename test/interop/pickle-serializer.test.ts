import test from 'ava'
import { PythonDatetime, PythonTimedelta } from '../../src/django/pickle/datetimes.ts'
import { PythonDecimal, PythonTuple } from '../../src/django/pickle/python-values.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { pickledKey, pickledValues } from '../../src/django/session-values.ts'
import { type HashAlgorithm, versionProfile } from '../../src/django/versions.ts'
import type { Session } from '../../src/session/session.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../support/django.ts'
import { freePorts, startCommand, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, startKoa, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const SESSION_SERIALIZER = 'django.contrib.sessions.serializers.PickleSerializer'

/** The Django versions that have a PickleSerializer; 3.2 also in the old format. */
const sites: readonly { version: string; algorithm?: HashAlgorithm }[] = djangoVersions
  .filter((version) => versionProfile(version).hasPickleSerializer)
  .flatMap((version) =>
    version === '3.2' ? [{ version }, { version, algorithm: 'sha1' as const }] : [{ version }],
  )

for (const { version, algorithm } of sites) {
  const name = `Django ${version}${algorithm === undefined ? '' : ` with ${algorithm}`}`

  test(`ours reads sessions pickled by ${name}, and writes their values back unchanged beside a new one`, async (t) => {
    await takeTurn(t)
    const profile = versionProfile(version, { ...(algorithm && { defaultHashingAlgorithm: algorithm }) })
    const codec = createSessionCodec({
      secretKeys: [secretKey],
      profile,
      serializer: 'pickle',
      now: () => new Date(),
    })
    const env = {
      SECRET_KEY: secretKey,
      SESSION_SERIALIZER,
      ...(algorithm && { DEFAULT_HASHING_ALGORITHM: algorithm }),
    }
    const script = `${VALUES}\nprint(store.encode(values))\nprint(store.encode({'a': Evil()}))`
    const [written = '', evil = ''] = (await djangoShell(version, { env, script })).split('\n')
    const decoded = codec.decode(written)
    t.is(decoded.format, algorithm === 'sha1' || version === '2.2' ? 'legacy' : 'signed')
    t.true(decoded.data.size > 20)
    const ours = new Map(decoded.data).set('ours', pickledValues.stringify(new PythonTuple([1, 'x'])))
    const sessionData = codec.encode(ours)
    t.deepEqual([...codec.decode(sessionData).data], [...ours])
    const read = await djangoShell(version, { env, script: `${VALUES}${COMPARE}`, input: sessionData })
    t.is(read, "ours: (1, 'x')\n")

    const json = createSessionCodec({ secretKeys: [secretKey], profile, now: () => new Date() })
    t.throws(() => json.decode(sessionData), { name: 'UnreadableSession', message: /SESSION_SERIALIZER/ })
    const plain = json.encode(new Map([['a', '1']]))
    t.throws(() => codec.decode(plain), { name: 'UnreadableSession', message: /SESSION_SERIALIZER/ })
    t.throws(() => json.encode(ours), { name: 'NotSerializable' })

    t.throws(() => codec.decode(evil), {
      name: 'UnreadableSession',
      message: /builtins\.eval, which is not plain data/,
    })
    const tampered = createSessionCodec({
      secretKeys: ['another key'],
      profile,
      serializer: 'pickle',
      now: () => new Date(),
    })
    const error = t.throws(() => tampered.decode(evil), { name: 'UnreadableSession' })
    t.like(error, { reason: 'signature' }, 'the signature is checked first')
  })
}

for (const { version, algorithm } of sites.filter((site) => site.algorithm === undefined)) {
  const database = version === '4.2' ? (testDatabases[0] ?? 'sqlite') : 'sqlite'
  test(`a visitor alternates between Django ${version} and ours, both with the PickleSerializer, on ${database}`, async (t) => {
    await takeTurn(t)
    t.is(algorithm, undefined)
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
    const settings = { SESSION_SERIALIZER }
    const django = await startDjango(t, { version, secretKey, databaseUrl, settings })
    const visitor = createVisitor()
    t.is(await visitor.visit(django.url), 1)
    const json = startCommand(t, ['serve'], {
      env: { ...freePorts, ...serviceEnvironment({ version, databaseUrl }) },
    })
    t.is(await json.ended, 1)
    t.regex(json.stderr(), /signatures are right, but they are not JSON.*set SESSION_SERIALIZER as in Django/)
    const service = await startService(t, { env: serviceEnvironment({ version, databaseUrl, settings }) })
    t.is(await visitor.visit(service.url), 2)
    t.is(await visitor.visit(django.url), 3)
    t.is(await visitor.visit(service.url), 4)

    const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, SESSION_SERIALIZER }
    const python = (script: string) =>
      djangoShell(version, { env, script: `${VALUES}${script}`, input: visitor.cookie() ?? '' })
    await python(ADD_TO_SESSION)
    let during: (session: Session) => unknown = () => {}
    const koa = await startKoa(t, {
      ...{ databaseUrl, version, serializer: SESSION_SERIALIZER },
      during: (session) => during(session),
    })
    during = (session) => {
      t.deepEqual(session.get('tuple'), new PythonTuple([1, new PythonTuple(['a'])]))
      t.deepEqual(session.get('decimal'), new PythonDecimal('1.50'))
      t.is(String(session.get('aware')), '2023-11-14T22:13:20.123456+00:00')
      t.is(session.get(pickledKey(1)), 'int')
      t.deepEqual(session.get('set'), new Set(['a']))
      session.set('tuple 2', session.get('tuple'))
      session.set('aware 2', session.get('aware'))
      session.compute('decimal', (old) => new PythonDecimal(`${old}1`))
      t.throws(() => session.set('date', new Date()), { name: 'NotSerializable' })
    }
    await visitor.fetch(`${koa}/_test/session`)
    t.is(
      await python(READ_SESSION),
      "num_visits: 4\nunchanged: True\ntuple 2: (1, ('a',))\naware 2: True\ndecimal: Decimal('1.501')\n",
    )
  })
}

/** 02:04:05.678 UTC. */
const INSTANT = new Date('2035-01-02T02:04:05.678Z')
const THREE_DAYS = 3 * 86_400

for (const { version } of sites.filter((site) => site.algorithm === undefined)) {
  for (const [useTz, timeZone, offset] of [
    [true, 'UTC', 0],
    [false, 'Europe/Berlin', 1],
  ] as const) {
    if (!useTz && version !== '2.2') continue // The versions differ only in their UTC.
    test(`Django ${version} and ours agree on pickled expiries, USE_TZ=${useTz}`, async (t) => {
      await takeTurn(t)
      const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const env = {
        ...{ SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, SESSION_SERIALIZER },
        ...{ USE_TZ: String(useTz), TIME_ZONE: timeZone },
      }
      const local = new Date(INSTANT.getTime() + offset * 3_600_000).toISOString().slice(0, -1)
      const python = async (script: string, input: unknown): Promise<Record<string, string>> =>
        JSON.parse(await djangoShell(version, { env, script, input: JSON.stringify(input) }))
      let during: (session: Session) => unknown = () => {}
      const koa = await startKoa(t, {
        ...{ databaseUrl, version, useTz, timeZone, serializer: SESSION_SERIALIZER },
        during: (session) => during(session),
      })
      const visit = async (then: typeof during, sessionKey?: string): Promise<string> => {
        const visitor = createVisitor()
        if (sessionKey !== undefined) visitor.setCookie(sessionKey)
        during = then
        await visitor.fetch(`${koa}/_test/session`, { method: 'POST', body: '{"ours":1}' })
        return visitor.cookie() ?? ''
      }

      const theirs = await python(CREATE_EXPIRIES, { instant: local })
      const seen: { date?: Date; age?: number; delta?: number } = {}
      await visit((session) => {
        seen.date = session.getExpiryDate()
        seen.age = session.getExpiryAge()
        t.false(session.getExpireAtBrowserClose())
        t.is(
          session.get('_session_expiry') instanceof PythonDatetime,
          !versionProfile(version).storesIsoExpiry,
        )
      }, theirs.date)
      await visit((session) => {
        seen.delta = session.getExpiryAge()
      }, theirs.delta)
      t.deepEqual(seen.date, INSTANT)
      t.true(Math.abs((seen.age ?? 0) * 1000 - (INSTANT.getTime() - Date.now())) < 60_000)
      t.true(Math.abs((seen.delta ?? 0) - THREE_DAYS) < 60)
      await visit((session) => {
        session.set('_session_expiry', new PythonTimedelta({ days: 1 })) // Django fails on it, too
        t.throws(() => session.getExpiryDate(), { code: 'ERR_SESSION_EXPIRY' })
        session.setExpiry(null)
      })

      const ours = {
        date: await visit((session) => session.setExpiry(INSTANT)),
        delta: await visit((session) => session.setExpiry({ seconds: THREE_DAYS })),
      }
      const read = await python(READ_EXPIRIES, { theirs, ours })
      t.deepEqual(read.ours, read.theirs)
    })
  }
}

/** Values as in sessions of real sites, and further types. */
const VALUES = `
import datetime, decimal, json, sys, uuid
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from django.utils.safestring import mark_safe
class Evil:
    def __reduce__(self):
        return eval, ('1',)
aware = datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=timezone.utc)
values = {
    'num_visits': 4, 'float': 1.0, 'big': 10 ** 40, 'text': '\\ud64d\\ud83d', 'none': None, 'list': [1, [True, {}]],
    'tuple': (1, ('a',)), 'set': {'a'}, 'frozenset': frozenset([1]), 'bytes': b'\\xff\\n', 'bytearray': bytearray(b'x'),
    'decimal': decimal.Decimal('1.50'), 'uuid': uuid.UUID(int=2 ** 100), 'uuid1': uuid.uuid1(),
    'aware': aware, 'now': timezone.now(), 'naive': datetime.datetime(2023, 1, 2), 'date': datetime.date(2023, 1, 2),
    'time': datetime.time(1, 2, 3), 'delta': datetime.timedelta(3, 4, 5), 'zone': timezone.get_default_timezone(),
    'local': timezone.localtime(aware, timezone.get_fixed_timezone(540)), 'safe': mark_safe('<b>'),
    'cart': {17: {'price': decimal.Decimal('9.90'), 'added': aware}}, 1: 'int', (1, 'a'): 'tuple', None: 'None',
}
store = SessionStore()
def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, datetime.datetime):
        return one == other and repr(one.tzinfo) == repr(other.tzinfo) and one.fold == other.fold
    return one == other and str(one) == str(other)
def unlike(session):
    fleeting = ['uuid1', 'now']
    return [key for key in values if key not in fleeting and not (key in session and same(values[key], session[key]))]
`

const COMPARE = `
session = store.decode(sys.stdin.read())
for key in unlike(session):
    print('%s: %r instead of %r' % (key, session.get(key), values[key]))
for key in session:
    if key not in values:
        print('%s: %r' % (key, session[key]))
`

const ADD_TO_SESSION = `
session = SessionStore(sys.stdin.read())
session.update(values)
session.save()
`

const READ_SESSION = `
session = dict(SessionStore(sys.stdin.read()).items())
print('num_visits: %r' % session['num_visits'])
print('unchanged: %r' % (unlike(session) == ['decimal']))
print('tuple 2: %r' % (session['tuple 2'],))
print('aware 2: %r' % same(session['aware 2'], aware))
print('decimal: %r' % session['decimal'])
`

const CREATE_EXPIRIES = `
import datetime, json, sys
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
instant = datetime.datetime.fromisoformat(json.load(sys.stdin)['instant'])
if settings.USE_TZ:
    instant = instant.replace(tzinfo=timezone.utc)
keys = {}
for name, expiry in {'date': instant, 'delta': datetime.timedelta(days=3)}.items():
    session = SessionStore()
    session.set_expiry(expiry)
    session.save()
    keys[name] = session.session_key
print(json.dumps(keys))
`

/** Distinguishes the expiries; for those that count from now, with a tolerance of minutes. */
const READ_EXPIRIES = `
import datetime, json, sys
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
def read(name, key):
    session = SessionStore(key)
    stored = session['_session_expiry']
    age, date = session.get_expiry_age(), session.get_expiry_date()
    session['again'] = 1
    session.save()
    row = Session.objects.get(pk=key).expire_date
    return {
        'type': type(stored).__name__,
        'zone': repr(getattr(stored, 'tzinfo', None)),
        'stored': str(stored) if name == 'date' else len(str(stored)) > 18,
        'age': round(age / 600),
        'row': (date - row).total_seconds(),
    }
keys = json.load(sys.stdin)
print(json.dumps({who: {name: read(name, key) for name, key in keys[who].items()} for who in keys}))
`
