/** Why a session is not what the visitor expects. `docs/explain.md` has a row for each, written from these texts. */
export interface Cause {
  /** One plain sentence. A finding may add a detail to it. */
  readonly summary: string
  /** What to do. */
  readonly hint: string
  /** Whether a side does not do with the session what it is meant to do. Other causes are notes. */
  readonly isProblem: boolean
}

const problem = (summary: string, hint: string): Cause => ({ summary, hint, isProblem: true })
const note = (summary: string, hint: string): Cause => ({ summary, hint, isProblem: false })

const SAME_KEY =
  'set DJANGO_SECRET_KEY to the SECRET_KEY of the Django project, and DJANGO_SECRET_KEY_FALLBACKS if it has any'
const VISITOR = 'nothing: the visitor gets a new session at the next save'
const REPAIR = 'find out what wrote it; Django and this package never write this'

/** A stable id of a cause. */
export type CauseId =
  | 'cookie-missing'
  | 'cookie-other-name'
  | 'cookie-empty'
  | 'cookie-twice'
  | 'cookie-quoted'
  | 'cookie-encoded'
  | 'cookie-holds-session'
  | 'cookie-truncated'
  | 'cookie-too-old'
  | 'key-too-short'
  | 'key-too-long'
  | 'key-characters'
  | 'key-case'
  | 'not-there'
  | 'expired'
  | 'other-table'
  | 'other-place-table'
  | 'other-place-file'
  | 'cache-copy-only'
  | 'cache-copy-differs'
  | 'expire-date-number'
  | 'expire-date-unreadable'
  | 'wrong-key'
  | 'secret-key-spelling'
  | 'fallback-not-used'
  | 'other-salt'
  | 'other-algorithm'
  | 'legacy-format'
  | 'signed-format'
  | 'pickle'
  | 'json-not-pickle'
  | 'pickle-class'
  | 'other-serializer'
  | 'invalid-json'
  | 'invalid-base64'
  | 'invalid-zlib'
  | 'invalid-timestamp'
  | 'not-an-object'
  | 'too-large'
  | 'truncated'
  | 'unsigned-json'
  | 'not-session-data'
  | 'raw-utf8'
  | 'secret-rotated'
  | 'timestamp-future'
  | 'password-changed'
  | 'hash-other-algorithm'
  | 'hash-missing'
  | 'user-inactive'
  | 'user-deleted'
  | 'user-id-type'
  | 'backend-not-allowed'
  | 'backend-missing'
  | 'backend-unknown'
  | 'own-session-hash'
  | 'expiry-unreadable'
  | 'expiry-time-zone'
  | 'expiry-passed'
  | 'messages-unreadable'
  | 'messages-not-shown'

/** Every cause by its stable id. */
export const CAUSES: Readonly<Record<CauseId, Cause>> = {
  'cookie-missing': problem(
    'The header has no session cookie',
    'if the browser has the cookie: compare SESSION_COOKIE_DOMAIN, SESSION_COOKIE_PATH and SESSION_COOKIE_SECURE with the address of the page',
  ),
  'cookie-other-name': problem(
    'The session is in a cookie of another name',
    'set SESSION_COOKIE_NAME to the same name here and in Django',
  ),
  'cookie-empty': problem('The session cookie is empty', VISITOR),
  'cookie-twice': problem(
    'The header has the session cookie twice, with different values',
    'make SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH equal on both sides, and delete the cookies in the browser; both sides take the last',
  ),
  'cookie-quoted': note(
    'The value of the cookie is in quotes',
    'nothing: both sides remove the quotes; other programs may not',
  ),
  'cookie-encoded': problem(
    'The value of the cookie is percent-encoded',
    'find the program that encodes it: Django does not decode cookies',
  ),
  'cookie-holds-session': problem(
    'The cookie holds the whole session: the engine signed_cookies made it',
    'set SESSION_ENGINE to the same engine here and in Django',
  ),
  'cookie-truncated': problem(
    'The cookie was cut off at 4096 bytes',
    'store less in the session, or use an engine that keeps sessions on the server',
  ),
  'cookie-too-old': problem('The cookie is older than SESSION_COOKIE_AGE', VISITOR),
  'key-too-short': problem('The session key has fewer than 8 characters', VISITOR),
  'key-too-long': problem('The session key is longer than the column session_key', VISITOR),
  'key-characters': problem(
    'The session key has characters that no session key of Django has',
    'find out what changed the cookie; a key has the characters a-z and 0-9',
  ),
  'key-case': problem(
    'The session key differs from the stored key only in case, accents or trailing blanks',
    'find out what changed the cookie; give the column session_key a collation that ends in _bin, so that Django compares keys exactly, too',
  ),
  'not-there': problem(
    'There is no session with this key',
    'if it was made just now: compare the database, SESSION_ENGINE and SESSION_DB_TABLE with Django. A logout, a login or clearsessions removes the old key',
  ),
  expired: problem(
    'The session has expired',
    'if that is too early: compare USE_TZ, TIME_ZONE and SESSION_COOKIE_AGE with Django',
  ),
  'other-table': problem(
    'The session is in a table that the settings do not name',
    'set SESSION_ENGINE, SESSION_DB_TABLE and SESSION_DATABASE_URL as in Django',
  ),
  'other-place-table': problem(
    'The session is a row of a table: Django uses an engine with a table',
    'set SESSION_ENGINE as in Django',
  ),
  'other-place-file': problem(
    'The session is a file: Django uses the engine file',
    'set SESSION_ENGINE to django.contrib.sessions.backends.file and SESSION_FILE_PATH as in Django',
  ),
  'cache-copy-only': problem(
    'Only the copy in the cache is left of the session',
    'log the visitor out in Django; a cached_db that finds a copy does not look at the table',
  ),
  'cache-copy-differs': problem(
    'The copy in the cache differs from the stored session',
    'set SESSION_ENGINE and CACHES as in Django, so that each write here removes the copy',
  ),
  'expire-date-number': problem(
    'The column expire_date holds a number, not a date',
    'find the program that wrote a JavaScript Date into SQLite; write text as Django does',
  ),
  'expire-date-unreadable': problem('The column expire_date does not hold a date', REPAIR),
  'wrong-key': problem(
    'The signature matches none of the secret keys',
    `${SAME_KEY}; if they are right: set SESSION_STORE_CLASS for a site with a session store of its own`,
  ),
  'secret-key-spelling': problem(
    'The signature matches another spelling of a secret key',
    'write the key in .env or the environment exactly as Django has it',
  ),
  'fallback-not-used': problem(
    'The signature matches a fallback key, which this Django does not use here',
    'only Django 4.1 and later use fallback keys, and never for the format before 3.1; set DJANGO_SECRET_KEY and DJANGO_VERSION as in Django',
  ),
  'other-salt': problem(
    'The session was signed by another session store',
    'set SESSION_STORE_CLASS to the __qualname__ of the SessionStore that Django uses, or leave it empty if the site has no store of its own',
  ),
  'other-algorithm': problem(
    'The signature was made with a hash that this Django does not accept',
    'set DJANGO_VERSION and DEFAULT_HASHING_ALGORITHM as in Django',
  ),
  'legacy-format': problem(
    'The session has the format before Django 3.1, which this Django does not read',
    'set DJANGO_VERSION to what `python -m django --version` prints; after an upgrade from 3.x or older, such sessions are lost',
  ),
  'signed-format': problem(
    'The session has the format since Django 3.1, which this Django does not read yet',
    'set DJANGO_VERSION to what `python -m django --version` prints',
  ),
  pickle: problem(
    'The session is a pickle, but SESSION_SERIALIZER is the JSONSerializer',
    'set SESSION_SERIALIZER as in Django; Django 5.0 and later read no pickles',
  ),
  'json-not-pickle': problem(
    'The session is JSON, but SESSION_SERIALIZER is the PickleSerializer',
    'set SESSION_SERIALIZER as in Django',
  ),
  'pickle-class': problem(
    'The pickle contains an object that is not plain data',
    'store plain data in the session; this service never imports or calls what a pickle names',
  ),
  'other-serializer': problem(
    'The signature is right, but the content is neither JSON nor a pickle',
    'use the JSONSerializer on both sides; a serializer of the site is not supported',
  ),
  'invalid-json': problem('The signature is right, but the content is not valid JSON', REPAIR),
  'invalid-base64': problem('The signature is right, but the content is not valid base64', REPAIR),
  'invalid-zlib': problem('The signature is right, but the content cannot be decompressed', REPAIR),
  'invalid-timestamp': problem('The signature is right, but it has no valid time stamp', REPAIR),
  'not-an-object': problem(
    'The content of the session is not a dictionary',
    `${REPAIR}. Delete the row or the cookie: Django answers 500 until then`,
  ),
  'too-large': problem(
    'The session is larger than the limit of this service',
    'store less in the session, or raise SESSION_MAX_INFLATED_BYTES',
  ),
  truncated: problem(
    'The session was cut off',
    'make the column session_data longer (Django makes it longtext or text), and set a strict sql_mode',
  ),
  'unsigned-json': problem(
    'The session is JSON without a signature: Django did not write it',
    'find the program that writes it; all programs must use the format of Django',
  ),
  'not-session-data': problem(
    'The text is not a session that any Django writes',
    'check that the whole text was pasted',
  ),
  'raw-utf8': problem(
    'The session has text in raw UTF-8, which Django reads as other characters',
    'find the program that writes it; it must escape all but ASCII as \\uXXXX',
  ),
  'secret-rotated': note(
    'The session was made with an older secret key, one of the fallbacks',
    'nothing; keep the fallback key until such sessions have expired',
  ),
  'timestamp-future': note(
    'The session was signed in the future',
    'compare the clocks of the servers; both sides accept it',
  ),
  'password-changed': problem(
    'The session belongs to a password that the user no longer has',
    'nothing after a change of the password. Otherwise: compare AUTH_USER_PASSWORD_COLUMN, and set AUTH_SESSION_HASH to custom if the user model has a get_session_auth_hash of its own',
  ),
  'hash-other-algorithm': problem(
    'The session hash of the user was made with a hash that this Django does not accept',
    'set DJANGO_VERSION as in Django; after an upgrade such users log in once more',
  ),
  'hash-missing': problem(
    'The session names a user, but has no session hash',
    'find the program that logs users in without it; if the user model has no get_session_auth_hash, set AUTH_SESSION_HASH to none',
  ),
  'user-inactive': problem(
    'The user of the session is not active',
    'nothing, or set is_active in the admin of Django',
  ),
  'user-deleted': problem(
    'The user of the session does not exist',
    'nothing after a deletion. Otherwise: compare AUTH_USER_MODEL, AUTH_USER_TABLE and DATABASE_URL with Django',
  ),
  'user-id-type': problem(
    'The user id in the session is not of the type of the primary key',
    'set AUTH_USER_ID_TYPE to the type of the primary key; Django answers 500 if the id is really wrong',
  ),
  'backend-not-allowed': problem(
    'The session names a backend that is not in AUTHENTICATION_BACKENDS',
    'set AUTHENTICATION_BACKENDS as in Django',
  ),
  'backend-missing': problem(
    'The session names a user, but no backend',
    'find the program that logs users in; it must store _auth_user_backend',
  ),
  'backend-unknown': problem(
    'The session names a backend that Django does not have',
    'correct AUTHENTICATION_BACKENDS on both sides',
  ),
  'own-session-hash': problem(
    'AUTH_SESSION_HASH is custom, so this service cannot verify any user',
    'nothing: log in and check permissions in Django only',
  ),
  'expiry-unreadable': problem(
    'The value of _session_expiry cannot be read by this Django',
    'store seconds with set_expiry; before Django 4.1 a date is possible only in a pickle',
  ),
  'expiry-time-zone': problem(
    'The date in _session_expiry does not fit USE_TZ',
    'set USE_TZ as in Django; both sides answer 500 when they save such a session',
  ),
  'expiry-passed': problem(
    'The date in _session_expiry has passed, so the next save ends the session',
    'call set_expiry with a later date, or with seconds',
  ),
  'messages-unreadable': problem(
    'The messages in the session are not what Django stores',
    'find the program that writes _messages; a page of Django that shows messages answers 500, or shows rubbish',
  ),
  'messages-not-shown': problem(
    'The session has messages that are never shown: MESSAGE_STORAGE is the cookie',
    'set MESSAGE_STORAGE as in Django',
  ),
}

/**
 * What one side does with the session.
 * - `loads`: reads it.
 * - `empty`: finds none; the visitor gets a new one.
 * - `overwrites`: reads it as empty, and overwrites it at the next save.
 * - `unreadable`: keeps it unread; the visitor gets a new one.
 * - `fails`: answers 500.
 * - `fails-to-save`: reads it; answers 500 when a page saves it.
 * - `anonymous`: reads it, but the visitor is not logged in.
 * - `logs-out`: deletes it.
 */
export type Outcome =
  | 'loads'
  | 'empty'
  | 'overwrites'
  | 'unreadable'
  | 'fails'
  | 'fails-to-save'
  | 'anonymous'
  | 'logs-out'

/** An outcome in words. */
export const OUTCOMES: Readonly<Record<Outcome, string>> = {
  loads: 'reads the session',
  empty: 'finds no session; the visitor gets a new one',
  overwrites: 'reads an empty session, and overwrites the stored one at the next save',
  unreadable: 'cannot read the session, and keeps it; the visitor gets a new one',
  fails: 'answers 500',
  'fails-to-save': 'reads the session; answers 500 when a page saves it',
  anonymous: 'reads the session; its visitor is anonymous',
  'logs-out': 'deletes the session; the visitor is logged out and loses its content',
}

/** One cause that was found. No text holds a key, or a value of the session but the dotted path of its backend. */
export interface Finding {
  readonly cause: CauseId
  /** Continues the summary after a colon. */
  readonly detail?: string | undefined
  /** What this makes Django do, where it alone decides that. */
  readonly django?: Outcome | undefined
  /** The same for this service. */
  readonly here?: Outcome | undefined
}

/** Something that was read, e.g. `['format', 'signed, compressed']`. No secret, and no value of the session. */
export type Fact = readonly [name: string, text: string]

/** The summary of a finding, with its detail. */
export function summaryOf({ cause, detail }: Finding): string {
  const { summary } = CAUSES[cause]
  return detail === undefined ? summary : `${summary}: ${detail}`
}
