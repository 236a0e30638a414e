import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CauseId } from '../../../src/operations/explain/causes.ts'
import type { TestDatabaseName } from '../../support/databases.ts'

type DjangoSettings = Readonly<Record<string, unknown>>

/** One cause, made by real Django. */
export interface Planting {
  readonly cause: CauseId
  /** The versions that meet it. */
  readonly versions: readonly string[]
  /** Python, with the names of test/django-site/plant.py. Its `result` is a Cookie header. */
  readonly code: string
  /** Settings of both sides, by Django's names. */
  readonly both?: DjangoSettings
  /** Settings of Django alone. */
  readonly django?: DjangoSettings
  /** Settings of Django while the code runs. */
  readonly made?: DjangoSettings
  /** Settings of ours alone. */
  readonly ours?: Readonly<Record<string, string>>
  /** Code that another version runs before; its result is `given` in `code`. */
  readonly first?: { readonly version: string; readonly code: string; readonly settings?: DjangoSettings }
  /** Default: sqlite. */
  readonly database?: TestDatabaseName
  /** Code that undoes what would disturb others. */
  readonly after?: string
}

const ALL = ['2.2', '4.2', '5.2', '6.1'] as const
/** Those that write the format since 3.1. */
const SIGNED = ['4.2', '5.2', '6.1'] as const

const ENGINE = 'django.contrib.sessions.backends.'
const JSON_SERIALIZER = 'django.contrib.sessions.serializers.JSONSerializer'
const PICKLE_SERIALIZER = 'django.contrib.sessions.serializers.PickleSerializer'
const PICKLES = { SESSION_SERIALIZER: PICKLE_SERIALIZER }
const CACHES = {
  default: {
    BACKEND: 'django.core.cache.backends.filebased.FileBasedCache',
    LOCATION: join(tmpdir(), 'copies'),
  },
}

/** The engines that keep no rows, or not alone. */
export const ENGINES = {
  file: { SESSION_ENGINE: `${ENGINE}file`, SESSION_FILE_PATH: tmpdir() },
  cache: { SESSION_ENGINE: `${ENGINE}cache`, CACHES },
  cached_db: { SESSION_ENGINE: `${ENGINE}cached_db`, CACHES },
  signed_cookies: { SESSION_ENGINE: `${ENGINE}signed_cookies` },
} as const satisfies Record<string, DjangoSettings>

const OLD_KEY = { SECRET_KEY: 'the key before' }

const LOGIN = "_auth_user_backend='django.contrib.auth.backends.ModelBackend'"

/** Every planting, each cause once. */
export const PLANTINGS: readonly Planting[] = [
  // The header
  { cause: 'cookie-missing', versions: ALL, code: "result = 'csrftoken=abc; theme=dark'" },
  { cause: 'cookie-other-name', versions: ALL, code: "result = header(saved(a=1), 'books_session')" },
  { cause: 'cookie-empty', versions: ALL, code: "result = 'theme=dark; sessionid='" },
  {
    cause: 'cookie-twice',
    versions: ALL,
    code: "result = header(saved(a=1)) + '; ' + header(saved(b=2))",
  },
  {
    cause: 'cookie-quoted',
    versions: ALL,
    code: 'result = \'sessionid="%s"\' % saved(a=1).session_key',
  },
  {
    cause: 'cookie-encoded',
    versions: ALL,
    both: ENGINES.signed_cookies,
    code: "result = header(saved(a=1)).replace(':', '%3A')",
  },
  {
    cause: 'cookie-holds-session',
    versions: ALL,
    made: ENGINES.signed_cookies,
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'cookie-truncated',
    versions: ALL,
    both: ENGINES.signed_cookies,
    code: "import random\nresult = header(saved(a='%x' % random.getrandbits(40000)))[:4097]",
  },
  {
    cause: 'cookie-too-old',
    versions: ALL,
    both: ENGINES.signed_cookies,
    code: `
then = time.time() - 20 * 86400
with mock.patch('time.time', return_value=then):
    result = header(saved(a=1))`,
  },
  // The key
  { cause: 'key-too-short', versions: ALL, code: "result = 'sessionid=abc'" },
  { cause: 'key-too-long', versions: ALL, code: "result = 'sessionid=' + 50 * 'a'" },
  { cause: 'key-characters', versions: ALL, code: "result = 'sessionid=abc-defg-hijk-lmno'" },
  {
    cause: 'key-case',
    versions: ['2.2', '5.2'],
    database: 'mariadb',
    code: "result = 'sessionid=' + saved(a=1).session_key.upper()",
  },
  // The place
  { cause: 'not-there', versions: ALL, code: "result = 'sessionid=' + 32 * 'a'" },
  { cause: 'expired', versions: ALL, code: 'result = row(text_of(saved(a=1)), seconds=-7200)' },
  {
    cause: 'other-table',
    versions: ['2.2', '4.2', '5.2'],
    code: `
store = importlib.import_module('user_sessions.backends.db').SessionStore(user_agent='x', ip='127.0.0.1')
store['a'] = 1
store.save()
result = header(store)`,
  },
  {
    cause: 'other-place-file',
    versions: ALL,
    made: ENGINES.file,
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'other-place-table',
    versions: ALL,
    both: ENGINES.file,
    made: { SESSION_ENGINE: `${ENGINE}db` },
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'cache-copy-only',
    versions: ALL,
    both: ENGINES.cached_db,
    code: `
session = saved(a=1)
session.model.objects.filter(pk=session.session_key).delete()
result = header(session)`,
  },
  {
    cause: 'cache-copy-differs',
    versions: ALL,
    both: ENGINES.cached_db,
    code: `
session = saved(a=1)
session.model.objects.filter(pk=session.session_key).update(session_data=text_of(saved(b=2)))
result = header(session)`,
  },
  {
    cause: 'expire-date-number',
    versions: ALL,
    code: `
session = saved(a=1)
sql('UPDATE django_session SET expire_date = 4000000000000 WHERE session_key = %s', session.session_key)
result = header(session)`,
  },
  {
    cause: 'expire-date-unreadable',
    versions: ALL,
    code: `
session = saved(a=1)
sql("UPDATE django_session SET expire_date = 'tomorrow' WHERE session_key = %s", session.session_key)
result = header(session)`,
    after: 'sql("DELETE FROM django_session WHERE expire_date = \'tomorrow\'")',
  },
  // The text
  { cause: 'wrong-key', versions: ALL, made: { SECRET_KEY: 'another' }, code: 'result = header(saved(a=1))' },
  {
    cause: 'secret-key-spelling',
    versions: ALL,
    ours: { DJANGO_SECRET_KEY: "'a key of the tests of explain, with $ and \"'" },
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'fallback-not-used',
    versions: ['2.2'],
    made: OLD_KEY,
    ours: { DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([OLD_KEY.SECRET_KEY]) },
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'other-salt',
    versions: ALL,
    django: { SESSION_ENGINE: 'shop_sessions' },
    made: { SESSION_ENGINE: `${ENGINE}db` },
    ours: { SESSION_STORE_CLASS: 'ShopStore' },
    code: `
import types
class ShopStore(importlib.import_module(settings.SESSION_ENGINE).SessionStore):
    pass
module = types.ModuleType('shop_sessions')
module.SessionStore = ShopStore
sys.modules['shop_sessions'] = module
result = header(saved(a=1))`,
  },
  {
    cause: 'other-algorithm',
    versions: SIGNED,
    both: ENGINES.signed_cookies,
    first: { version: '2.2', settings: ENGINES.signed_cookies, code: 'result = header(saved(a=1))' },
    code: 'result = given',
  },
  {
    cause: 'legacy-format',
    versions: SIGNED,
    first: { version: '2.2', code: 'result = text_of(saved(a=1))' },
    code: 'result = row(given)',
  },
  {
    cause: 'signed-format',
    versions: ['2.2'],
    first: { version: '5.2', code: 'result = text_of(saved(a=1))' },
    code: 'result = row(given)',
  },
  { cause: 'pickle', versions: ['2.2', '4.2'], made: PICKLES, code: 'result = header(saved(a=1))' },
  {
    cause: 'json-not-pickle',
    versions: ['2.2', '4.2'],
    both: PICKLES,
    made: { SESSION_SERIALIZER: JSON_SERIALIZER },
    code: 'result = header(saved(a=1))',
  },
  {
    cause: 'pickle-class',
    versions: ['2.2', '4.2'],
    both: PICKLES,
    code: 'import http\nresult = header(saved(a=http.HTTPStatus.OK))',
  },
  { cause: 'other-serializer', versions: ALL, code: "result = row(raw(b'\\x81\\xa1a\\x01'))" },
  { cause: 'invalid-json', versions: ALL, code: 'result = row(raw(b\'{"a":1,}\'))' },
  { cause: 'invalid-base64', versions: SIGNED, code: "result = row(stamped('a'))" },
  { cause: 'invalid-zlib', versions: SIGNED, code: "result = row(stamped('.bm90emxpYg'))" },
  {
    cause: 'invalid-timestamp',
    versions: SIGNED,
    code: "result = row(signing.Signer(salt=store().key_salt).sign('e30:!!'))",
  },
  { cause: 'not-an-object', versions: ALL, code: "result = row(raw(b'[1]'))" },
  {
    cause: 'too-large',
    versions: ALL,
    ours: { SESSION_MAX_INFLATED_BYTES: '1024' },
    code: "result = header(saved(a=5000 * 'x'))",
  },
  {
    cause: 'truncated',
    versions: ['2.2', '5.2'],
    database: 'mariadb',
    code: `
sql("SET SESSION sql_mode = ''")
sql('ALTER TABLE django_session MODIFY session_data varchar(100) NOT NULL')
result = header(saved(a='0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'))`,
    after: `
sql('DELETE FROM django_session')
sql('ALTER TABLE django_session MODIFY session_data longtext NOT NULL')`,
  },
  { cause: 'unsigned-json', versions: ALL, code: 'result = row(\'{"a": 1}\')' },
  { cause: 'not-session-data', versions: ALL, code: 'result = row(\'O:8:"stdClass":0:{}\')' },
  { cause: 'raw-utf8', versions: ALL, code: 'result = row(raw(\'{"a":"é"}\'.encode()))' },
  {
    cause: 'timestamp-future',
    versions: SIGNED,
    code: `
then = time.time() + 7200
with mock.patch('time.time', return_value=then):
    result = header(saved(a=1))`,
  },
  {
    cause: 'secret-rotated',
    versions: SIGNED,
    django: { SECRET_KEY_FALLBACKS: [OLD_KEY.SECRET_KEY] },
    made: OLD_KEY,
    ours: { DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([OLD_KEY.SECRET_KEY]) },
    code: 'result = header(logged_in(user()))',
  },
  // The user
  {
    cause: 'password-changed',
    versions: ALL,
    code: "result = header(logged_in(user('bob')))\nuser('bob', password='changed %s' % time.time())",
  },
  {
    cause: 'hash-other-algorithm',
    versions: SIGNED,
    first: { version: '2.2', code: 'result = user().get_session_auth_hash()' },
    code: `result = header(saved(_auth_user_id=str(user().pk), ${LOGIN}, _auth_user_hash=given))`,
  },
  {
    cause: 'hash-missing',
    versions: ALL,
    code: `result = header(saved(_auth_user_id=str(user().pk), ${LOGIN}))`,
  },
  {
    cause: 'user-inactive',
    versions: ALL,
    code: "result = header(logged_in(user('eve', is_active=False)))",
  },
  {
    cause: 'user-deleted',
    versions: ALL,
    code: "gone = user('gone')\nresult = header(logged_in(gone))\ngone.delete()",
  },
  {
    cause: 'user-id-type',
    versions: ALL,
    code: `result = header(saved(_auth_user_id='abc', ${LOGIN}, _auth_user_hash='x'))`,
  },
  {
    cause: 'backend-not-allowed',
    versions: ALL,
    code: "result = header(logged_in(user(), backend='shop.backends.EmailBackend'))",
  },
  {
    cause: 'backend-missing',
    versions: ALL,
    code: "result = header(saved(_auth_user_id='1', _auth_user_hash='x'))",
  },
  {
    cause: 'backend-unknown',
    versions: ALL,
    both: { AUTHENTICATION_BACKENDS: ['django.contrib.auth.backends.NoSuchBackend'] },
    code: "result = header(logged_in(user(), backend='django.contrib.auth.backends.NoSuchBackend'))",
  },
  {
    cause: 'own-session-hash',
    versions: ALL,
    ours: { AUTH_SESSION_HASH: 'custom' },
    code: `
User = auth.get_user_model()
User.get_session_auth_hash = lambda self: 'a stamp of the site'
result = header(logged_in(user()))`,
    after: 'del auth.get_user_model().get_session_auth_hash',
  },
  // The content
  {
    cause: 'expiry-unreadable',
    versions: ALL,
    code: 'result = row(raw(b\'{"a":1,"_session_expiry":"soon"}\'))',
  },
  {
    cause: 'expiry-time-zone',
    versions: SIGNED,
    code: 'result = row(raw(b\'{"a":1,"_session_expiry":"2040-01-01T00:00:00"}\'))',
  },
  {
    cause: 'expiry-passed',
    versions: SIGNED,
    code: 'result = row(raw(b\'{"a":1,"_session_expiry":"2020-01-01T00:00:00+00:00"}\'))',
  },
  {
    cause: 'messages-unreadable',
    versions: ALL,
    code: 'result = row(raw(b\'{"a":1,"_messages":"not JSON"}\'))',
  },
  {
    cause: 'messages-not-shown',
    versions: ALL,
    both: { MESSAGE_STORAGE: 'django.contrib.messages.storage.cookie.CookieStorage' },
    code: 'result = header(saved(a=1, _messages=\'[["__json_message",0,20,"hello"]]\'))',
  },
]
