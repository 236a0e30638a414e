import { statusOf } from '../../src/http/statuses.ts'
import { code, generatedFrom } from './markdown.ts'
import { type ErrorClass, errorClasses } from './source.ts'

interface ErrorText {
  readonly where: keyof typeof PLACES
  readonly meaning: string
  /** What to do. */
  readonly remedy: string
}

/** docs/errors.md: a section for each code. @throws when a code has no text, or a text no code. */
export function errorsPage(): string {
  const classes = errorClasses()
  const codes = [...new Set(classes.map((one) => one.code))]
  const unexplained = codes.filter((one) => !(one in ERRORS))
  if (unexplained.length > 0)
    throw new Error(
      `tools/docs/errors-page.ts does not explain ${unexplained.join(', ')}; add the codes to ERRORS`,
    )
  const unknown = Object.keys(ERRORS).filter((one) => !codes.includes(one))
  if (unknown.length > 0)
    throw new Error(
      `no class under src/ has the code ${unknown.join(', ')}; remove it from tools/docs/errors-page.ts`,
    )
  const places = (Object.keys(PLACES) as (keyof typeof PLACES)[]).map((place) => {
    const { title, text } = PLACES[place]
    const entries = codes.filter((one) => ERRORS[one]?.where === place).map((one) => section(one, classes))
    return `## ${title}\n\n${text}\n\n${entries.join('\n')}`
  })
  return `${generatedFrom('tools/docs/errors-page.ts')}\n# Errors\n\n${INTRODUCTION}\n\n${places.join('\n')}`
}

function section(errorCode: string, classes: readonly ErrorClass[]): string {
  const { where, meaning, remedy } = ERRORS[errorCode] as ErrorText
  const names = classes
    .filter((one) => one.code === errorCode)
    .map(({ name, isPublic }) => `${code(name)}${isPublic ? ', exported' : ''}`)
  const status =
    where === 'request' ? [`status ${statusOf(Object.assign(new Error(), { code: errorCode }))}`] : []
  return `### ${errorCode}\n\n${[...names, ...status].join('; ')}\n\n${meaning}\n\n**What to do:** ${remedy}\n`
}

const INTRODUCTION = `Each error of this package has a \`code\`. Messages may be reworded; codes stay. Compare \`error.code\`, or use \`instanceof\`
with the classes that are exported.

Errors that a visitor can cause, and transient ones, carry \`status\`, \`statusCode\` and \`expose\`: Koa, Express and Fastify
answer them with that status by themselves. The error of a driver is the \`cause\`. Knex writes the values of a statement
into its messages, session keys among them, unless it is created with \`compileSqlOnError: false\`: without it, do not log
the messages of causes.`

const PLACES = {
  start: {
    title: 'At the start of the service',
    text: 'The process ends with status 1. One line for each problem on standard error names the setting and says what to do. In the library, the call that opens or first uses the part throws.',
  },
  request: {
    title: 'While a request is served',
    text: 'The request is answered with the status shown.',
  },
  log: {
    title: 'In the log only',
    text: 'No request is answered with these errors. They are in the log, or the cause of another error.',
  },
  call: {
    title: 'From a call of the library',
    text: 'The call throws, or rejects. If your code does not catch the error, the request is answered with 500.',
  },
} as const

const RETRY_LATER = 'Nothing, if it passes: the visitor tries again, and `Retry-After` says when.'

/** What each code means, and what to do about it. */
const ERRORS: Readonly<Record<string, ErrorText>> = {
  ERR_CURSOR: {
    where: 'call',
    meaning:
      'The option `after` is not a value that an earlier call returned as `next`, or `SECRET_KEY` has changed since.',
    remedy: 'Begin again, without `after`.',
  },
  ERR_SESSION_TO_KEEP: {
    where: 'call',
    meaning: 'The session that is to stay is not a live session of this user. Nothing was deleted.',
    remedy: 'Pass the value of the session cookie of that browser.',
  },
  ERR_SESSIONS_NOT_LISTED: {
    where: 'call',
    meaning: 'The sessions of this engine cannot be listed: entries of a cache and cookies have no list.',
    remedy:
      "Change the password of the user, which ends the user's sessions. For everybody: change `SECRET_KEY`, or clear the cache.",
  },
  ERR_DJANGO_TABLES_EXIST: {
    where: 'call',
    meaning:
      'A database that was to get Django’s tables for tests already has one of them. It may be the database of a site, so nothing was changed.',
    remedy: 'Use an empty database that only tests use. On a site, run `manage.py migrate` of its Django.',
  },
  ERR_SESSION_MISFIT: {
    where: 'call',
    meaning:
      'The session does not fit the schema that `load` was given. Django, or an older version of your code, has written it. The property `misfits` says by key what does not fit.',
    remedy:
      "Make the schema accept what is stored, or load with `misfits: 'drop'` or `'keep'`. Make keys optional, or give them a default: a new session has no key.",
  },
  ERR_SESSION_NOT_FORGED: {
    where: 'call',
    meaning:
      'A test asked for a session of a user whom Django would not recognize, or for an empty session, which has no cookie.',
    remedy:
      'Do what the message says: set `is_active`, check `backend`, `userModel` and `sessionHash`, or give `data`.',
  },
  ERR_UNKNOWN_USER: {
    where: 'call',
    meaning: 'No row of the user table has this name, or the id does not fit the type of the primary key.',
    remedy:
      'Pass the name as it is in the table, or the id; for a user that was deleted, the id. Check `AUTH_USER_MODEL`, `AUTH_USERNAME_FIELD` and `AUTH_USER_ID_TYPE` (in the library `userModel`).',
  },
  ERR_AUTH_USER_MODEL: {
    where: 'call',
    meaning: 'The user model is not of the form `app_label.ModelName`.',
    remedy:
      'Set `userModel.model` (in the service `AUTH_USER_MODEL`) to the `AUTH_USER_MODEL` of settings.py.',
  },
  ERR_BAD_PAYLOAD: {
    where: 'call',
    meaning:
      'The signature is right, but the signed text is not what Django’s `signing.dumps` writes: its time stamp, base64 or zlib stream is broken.',
    remedy: 'Check that the value was signed by `signing.dumps` and not changed afterwards.',
  },
  ERR_BAD_SIGNATURE: {
    where: 'call',
    meaning: 'The signature does not match under any secret key.',
    remedy: 'Check the secret keys and the salt. A value that a visitor sent may also be forged.',
  },
  ERR_CACHE_REMOVAL_GIVEN_UP: {
    where: 'log',
    meaning:
      'With `cached_db`, an old copy of a session could not be removed from the cache and will not be tried again. Django may show the old session until the copy expires.',
    remedy:
      'Check why the cache was away. Delete the keys of the sessions in the cache if Django must not show them.',
  },
  ERR_CACHE_TIMEOUT: {
    where: 'log',
    meaning: 'With `cached_db`, the cache did not answer in time. The removal of an old copy is repeated.',
    remedy: 'Check the cache server and the network to it.',
  },
  ERR_MISSING_PACKAGE: {
    where: 'start',
    meaning:
      'A package that only some sites need is not installed: `ioredis` for Redis, `@node-rs/bcrypt` for bcrypt passwords, `@node-rs/argon2` for Argon2 passwords where Node itself cannot verify them (Node 24.7 and newer can), `better-sqlite3` for SQLite where Node lacks `node:sqlite`.',
    remedy: 'Run the command that the message names, beside this package.',
  },
  ERR_CACHE_UNAVAILABLE: {
    where: 'request',
    meaning:
      'The cache that keeps the sessions cannot be reached, does not answer in time, or refuses to work: it is full, read-only, or asks for a password.',
    remedy:
      'Check the cache server and the entry of `CACHES`. Requests succeed again as soon as the cache answers.',
  },
  ERR_CACHE_UNSUPPORTED: {
    where: 'start',
    meaning:
      'An entry of `CACHES` asks for a backend or an option that is not supported. The message names it.',
    remedy: 'Remove the option on both sides, or use a cache of its own for sessions.',
  },
  ERR_CANNOT_ASK_DJANGO: {
    where: 'start',
    meaning:
      'For `init` and `doctor --django`: the Django project could not be asked for its settings. Its Python was not found, does not have Django, or could not load the project.',
    remedy:
      'Follow the message: name the right Python with `--python`, or set the environment variables with which `manage.py check` runs.',
  },
  ERR_CANNOT_LISTEN: {
    where: 'start',
    meaning:
      'The service cannot listen on its address: the port is taken, is reserved, or the address does not exist.',
    remedy: 'Set `HOST`, `PORT`, `METRICS_HOST` or `METRICS_PORT`, as the message says.',
  },
  ERR_CANNOT_START: {
    where: 'start',
    meaning:
      'The database, the cache or a file refuses the service, and waiting does not help: a wrong password, a wrong name, a certificate, a login plugin.',
    remedy: 'Do what the message says. It names the setting.',
  },
  ERR_CANNOT_WRITE_SETTING: {
    where: 'start',
    meaning: 'For `init`: the value of a setting holds a character that a `.env` file cannot hold.',
    remedy: 'Set it in the environment of the service instead.',
  },
  ERR_CHECK_FAILED: {
    where: 'log',
    meaning:
      '`/health/ready` answers 503, since something that visitors need is missing. `check` names it: `database`, `session_write`, `site_tables`, `session_files` or `cache`.',
    remedy: 'The cause in the log says why. Mend it; readiness returns by itself.',
  },
  ERR_COOKIE_SAMESITE: {
    where: 'call',
    meaning: '`SameSite=None` is set for a Django before 3.1, which cannot send it.',
    remedy: 'Set the option as in settings.py of that Django.',
  },
  ERR_CSRF: {
    where: 'request',
    meaning:
      'The request has no valid CSRF token, or comes from an origin that is not trusted. The reason, in the words of Django, is in the log (`security.csrf`) only.',
    remedy:
      'Put the token into the form. If forms of one side fail on the other, give both the same `CSRF_…` settings. Behind a proxy, see `TRUSTED_PROXY`.',
  },
  ERR_DATABASE_MISMATCH: {
    where: 'request',
    meaning: 'The database answers, but not with these settings, and waiting does not help.',
    remedy: 'Correct `DATABASE_URL` as the message in the log says.',
  },
  ERR_DATABASE_MISSING: {
    where: 'start',
    meaning:
      'The SQLite file that `DATABASE_URL` names does not exist. It is not created: Django owns the schema.',
    remedy:
      'Correct the path. A relative path counts from the working folder; an absolute one has four slashes.',
  },
  ERR_DATABASE_TIMEOUT: {
    where: 'request',
    meaning: 'The database did not answer within `DATABASE_TIMEOUT`. The connection was closed.',
    remedy: `${RETRY_LATER} If it stays, look for locks and slow statements in the database.`,
  },
  ERR_DEMO_FILE: {
    where: 'start',
    meaning: '`DATABASE_URL` is not set, and the file of the embedded demo cannot be created or used.',
    remedy: 'Start in a folder that the process may write to, or set `DATABASE_URL`.',
  },
  ERR_DEMO_SECRET: {
    where: 'start',
    meaning: 'The file with the secret key of the embedded demo is empty.',
    remedy: 'Delete the file that the message names. A new key is created, and the sessions of the demo end.',
  },
  ERR_DISALLOWED_HOST: {
    where: 'request',
    meaning:
      'The request is for a host that is not in `ALLOWED_HOSTS`. The log names the host (`security.disallowed_host`).',
    remedy: 'Add the host to `ALLOWED_HOSTS` if it is yours. Behind a proxy, see `TRUSTED_PROXY`.',
  },
  ERR_DJANGO_VERSION: {
    where: 'call',
    meaning: 'The version of Django is not one that is supported: 2.2 to 6.x.',
    remedy:
      'Set `djangoVersion` (in the service `DJANGO_VERSION`) to what `python -m django --version` prints.',
  },
  ERR_EXPIRE_DATE: {
    where: 'log',
    meaning:
      'A stored session has an `expire_date` that is not a date. Django answers 500 to its visitor; here the visitor gets a new session.',
    remedy: 'Find out what wrote the row. The row stays as it is.',
  },
  ERR_FILE_LOCK_TIMEOUT: {
    where: 'request',
    meaning:
      'Other processes held the lock of this session’s file for the whole time that a request may wait.',
    remedy: `${RETRY_LATER} If it stays, check the disk of \`SESSION_FILE_PATH\`.`,
  },
  ERR_JSON_DECODE: {
    where: 'call',
    meaning: 'The text is not JSON that Python’s `json.loads` reads. `position` counts UTF-16 units from 0.',
    remedy: 'Correct the text at that position.',
  },
  ERR_MISSING_RIGHT: {
    where: 'start',
    meaning: 'The database user lacks a right to a table.',
    remedy:
      'Run the `GRANT` statement in the message. [databases](databases.md) lists all rights that the service needs.',
  },
  ERR_MISSING_TABLES: {
    where: 'start',
    meaning: 'The database lacks tables of the Django site. They are not created: Django owns the schema.',
    remedy: 'Run `manage.py migrate` in the Django project, or correct the setting that the message names.',
  },
  ERR_NO_DATABASE_HOST: {
    where: 'log',
    meaning:
      'None of the hosts in `DATABASE_URL` gave a connection that takes writes. The cause is what the last host answered.',
    remedy: 'Check the database servers. Requests get 503 until one of them is back.',
  },
  ERR_NO_PASSWORD_BACKEND: {
    where: 'call',
    meaning: 'None of the authentication backends takes a user name and a password here.',
    remedy:
      'Add `ModelBackend` or `AllowAllUsersModelBackend`, or leave the login to Django (`SERVE_LOGIN=False`).',
  },
  ERR_NO_SESSION_VERIFIES: {
    where: 'start',
    meaning:
      'There are recent sessions, and none of them verifies. To start would log out visitors on both sides.',
    remedy:
      'Set `DJANGO_SECRET_KEY`, `DJANGO_SECRET_KEY_FALLBACKS`, `DJANGO_VERSION` or `SESSION_SERIALIZER`, whichever the message names, as in the Django project. `ALLOW_UNVERIFIED_SESSIONS=True` starts anyway.',
  },
  ERR_NOT_AN_OBJECT: {
    where: 'call',
    meaning: 'The text is JSON, but not an object. Session data is a dictionary.',
    remedy: 'Pass an object.',
  },
  ERR_NOT_READY: {
    where: 'request',
    meaning: 'The database has not been reached since the start.',
    remedy: 'Check the database. `service.waiting` in the log names host, port and setting.',
  },
  ERR_NOT_SERIALIZABLE: {
    where: 'call',
    meaning:
      'A value has no form that Django would read back, for example a function, `undefined` or a cycle.',
    remedy: 'Store plain data: texts, numbers, booleans, null, arrays and objects.',
  },
  ERR_PASSWORDS_BUSY: {
    where: 'request',
    meaning: 'More logins wait for their password check than can be answered soon.',
    remedy: `${RETRY_LATER} If it stays, look for an attack on the login page, or run more processes.`,
  },
  ERR_PAYLOAD_TOO_LARGE: {
    where: 'call',
    meaning: 'A signed text is larger than the limit, perhaps after it is inflated.',
    remedy: 'Store less, or raise the limit (in the service `SESSION_MAX_INFLATED_BYTES`).',
  },
  ERR_PICKLE_REFUSED: {
    where: 'call',
    meaning:
      'A pickle holds more than plain data: a class, a function, a persistent id. The message names it. Nothing is imported or called.',
    remedy: 'Store plain data in the session on the Django side.',
  },
  ERR_PING_TIMEOUT: {
    where: 'log',
    meaning: 'The database did not answer the check of `/health/ready` in time.',
    remedy: 'Check the database and the network to it.',
  },
  ERR_REQUEST_DATA_TOO_BIG: {
    where: 'request',
    meaning: 'The body of the form is larger than allowed: 2.5 MB unless `readForm` is given another limit.',
    remedy: 'Raise the limit of `readForm` if such forms are wanted.',
  },
  ERR_REQUEST_TIMEOUT: {
    where: 'request',
    meaning:
      'The page took longer than `DATABASE_TIMEOUT` and one second. Whether its changes were saved is not known.',
    remedy: `${RETRY_LATER} If it stays, look for locks and slow statements in the database.`,
  },
  ERR_REQUEST_TOO_SLOW: {
    where: 'request',
    meaning: 'The client sends its body more slowly than 1 KiB a second.',
    remedy: 'Nothing on the server. The client must send faster.',
  },
  ERR_RESERVED_PATH: {
    where: 'request',
    meaning: 'A WebSocket was asked for at a path that this service serves itself.',
    remedy: 'Use another path for the WebSocket.',
  },
  ERR_DATABASE_UNUSABLE: {
    where: 'call',
    meaning:
      'The pool or database that is given as `db` is set up in a way that would break a promise, for example that a save is stored. The error comes when it is opened, or from the first statement.',
    remedy: 'Change the setting that the message names: [Any SQL library](library.md#any-sql-library).',
  },
  ERR_SESSION_COLUMN: {
    where: 'request',
    meaning: 'The table of sessions has a column that is NOT NULL, has no default, and got no value.',
    remedy: 'Give the column a value by the option `columns`, or a default in the database.',
  },
  ERR_SESSION_CONFLICT: {
    where: 'call',
    meaning:
      'An engine found that another request has saved the session since it was loaded. `session.save()` merges and tries again by itself.',
    remedy:
      'Only code that calls an engine directly sees this error: load again, apply the change, update again.',
  },
  ERR_SESSION_CONFLICT_TIMEOUT: {
    where: 'request',
    meaning:
      'Other requests changed the same session again and again for the whole time that a save may be repeated.',
    remedy: `${RETRY_LATER} If it stays, look for a program that uses one session for everything.`,
  },
  ERR_SESSION_COOKIE_TOO_LARGE: {
    where: 'request',
    meaning:
      'With `signed_cookies`, the session needs a cookie of more than 4096 bytes, which browsers drop. The old cookie stays.',
    remedy: 'Store less in the session, or use another engine on both sides.',
  },
  ERR_SESSION_CREATE: {
    where: 'call',
    meaning: 'An engine cannot create the session: its key is taken.',
    remedy: 'Only code that calls an engine directly sees this error: use a new key (`newSessionKey`).',
  },
  ERR_SESSION_EXPIRY: {
    where: 'call',
    meaning: 'The expiry of a session is, or would be, a value on which Django raises an error.',
    remedy: 'Pass `setExpiry` a number of seconds, a date or null.',
  },
  ERR_SESSION_FILE_PATH: {
    where: 'start',
    meaning: 'The folder of the file engine does not exist, or cannot be written.',
    remedy:
      'Set `SESSION_FILE_PATH` (in the library `filePath`) as in Django, and run the service as a user that may write there.',
  },
  ERR_SESSION_INTERRUPTED: {
    where: 'request',
    meaning:
      'The session was deleted while the request ran, for example by a logout in another tab. The request had changed it, and the change is not kept.',
    remedy: 'Nothing. Django answers the same.',
  },
  ERR_SESSION_KEY: {
    where: 'call',
    meaning:
      '`KeyError`: the session does not have this key. `InvalidSessionKey`: no row can have this session key.',
    remedy:
      'Use `get` with a default, or `has`, instead of `require`. Pass a session key that `isValidSessionKey` accepts.',
  },
  ERR_SESSION_MERGE_CONFLICT: {
    where: 'request',
    meaning:
      'Two requests changed the same key of a session, and the policy of the key is `fail`. Nothing of this request was saved. The property `key` names the key.',
    remedy:
      'Let the visitor load the page again and repeat the step. Where both changes can be kept, choose another policy: [Policies](concurrency.md#policies).',
  },
  ERR_SESSION_TOO_LARGE: {
    where: 'request',
    meaning:
      'The session is larger than the column, the table or a statement of the server takes. What was stored before stays. The log says the size and the limit.',
    remedy: 'Store less in the session, or raise the limit, for example `max_allowed_packet` of MySQL.',
  },
  ERR_SESSION_UNCERTAIN: {
    where: 'request',
    meaning:
      'Whether the change was saved is not known: on MySQL or MariaDB, sessions of one statement were deleted, some before it and some just after it, or the question which ones was not answered.',
    remedy:
      'Nothing. The change is not repeated, since it would count twice. A deleted session stays deleted.',
  },
  ERR_SESSION_UNREADABLE: {
    where: 'log',
    meaning:
      'A stored session cannot be read; `reason` says why. The visitor gets a new session under a new key, and the row stays as it is.',
    remedy:
      '`format`: check `DJANGO_VERSION`. `signature`: check the secret keys. `payload`: check `SESSION_SERIALIZER`. `too-large`: see `SESSION_MAX_INFLATED_BYTES`. `not-an-object`, `expire-date`: find out what wrote the row.',
  },
  ERR_SESSION_UPDATE: {
    where: 'call',
    meaning: 'An engine cannot update the session: it was deleted.',
    remedy:
      'Only code that calls an engine directly sees this error: do not create the session again, since a logout may have deleted it.',
  },
  ERR_SETTINGS: {
    where: 'start',
    meaning: 'Settings are missing or wrong. Every problem is a line of the message.',
    remedy: 'Correct each setting as its line says. [settings](settings.md) lists all of them.',
  },
  ERR_SIGNATURE_EXPIRED: {
    where: 'call',
    meaning: 'The signature is right, but older than the age that is accepted.',
    remedy: 'Let the visitor begin anew.',
  },
  ERR_STORAGE_FAILURE: {
    where: 'request',
    meaning:
      'The database or the store of sessions refuses an operation, and waiting does not help. The cause says why.',
    remedy: 'Read the cause in the log: a missing table, a constraint, a trigger, a right.',
  },
  ERR_STORAGE_UNAVAILABLE: {
    where: 'request',
    meaning:
      'The database or the store of sessions is away, full, read-only or too busy. The cause says which.',
    remedy: `${RETRY_LATER} If it stays, check the database.`,
  },
  ERR_TOO_MANY_FIELDS: {
    where: 'request',
    meaning: 'The form has more fields than allowed: 1000 unless `readForm` is given another limit.',
    remedy: 'Raise the limit of `readForm` if such forms are wanted.',
  },
  ERR_TOO_MANY_FILES: {
    where: 'request',
    meaning: 'The form has more files than allowed: 100 unless `readForm` is given another limit.',
    remedy: 'Raise the limit of `readForm` if such forms are wanted.',
  },
  ERR_TOO_MANY_TRIES: {
    where: 'request',
    meaning: 'Too many logins under this name, or from this address, have failed.',
    remedy:
      'Wait as long as `Retry-After` says. If all visitors seem to have one address, set `TRUSTED_PROXY`. The limits are `LOGIN_TRIES_…`.',
  },
  ERR_UNEXPECTED: {
    where: 'start',
    meaning: 'The start failed in a way that has no message of its own.',
    remedy: 'Start with `LOG_LEVEL=debug`, which logs where, and report it.',
  },
  ERR_UNKNOWN_SESSION_HASH: {
    where: 'call',
    meaning:
      'The user model makes the hash in its sessions by a method of its own, so a login here would not count in Django.',
    remedy: 'Let Django serve the login page.',
  },
  ERR_UNKNOWN_UPGRADE: {
    where: 'request',
    meaning: 'The client asks for a protocol other than WebSocket.',
    remedy: 'Nothing on the server.',
  },
  ERR_UNKNOWN_VERSION: {
    where: 'start',
    meaning: '`DJANGO_VERSION` is not set, and the table `django_migrations` does not tell the version.',
    remedy: 'Set `DJANGO_VERSION` to what `python -m django --version` prints.',
  },
  ERR_UNPICKLING: {
    where: 'call',
    meaning: 'The bytes are not a pickle that Python would load. `position` counts bytes from 0.',
    remedy: 'Check that the value was pickled, and not changed afterwards.',
  },
  ERR_UNREADABLE_POST: {
    where: 'request',
    meaning: 'The body of the form ended early, or is not what its `Content-Type` says.',
    remedy: 'Nothing on the server. The client must send the form again.',
  },
  ERR_UPSTREAM_BUSY: {
    where: 'request',
    meaning: 'All connections to Django are in use, and none became free within `DJANGO_UPSTREAM_TIMEOUT`.',
    remedy: `${RETRY_LATER} If it stays, give Django more workers, or raise \`DJANGO_UPSTREAM_CONNECTIONS\`.`,
  },
  ERR_UPSTREAM_TIMEOUT: {
    where: 'request',
    meaning: 'Django was silent for `DJANGO_UPSTREAM_TIMEOUT`.',
    remedy: 'Look for a slow view of Django, or raise the setting.',
  },
  ERR_UPSTREAM_UNAVAILABLE: {
    where: 'request',
    meaning:
      'Django cannot be reached at `DJANGO_UPSTREAM`, or what answers there is not HTTP, or its certificate does not hold.',
    remedy:
      'Start Django, or correct `DJANGO_UPSTREAM` or `DJANGO_UPSTREAM_CA`. The cause in the log says why.',
  },
  ERR_USAGE: {
    where: 'start',
    meaning:
      'A command was called with arguments that do not fit together, or it needs an answer and has no terminal.',
    remedy: 'Follow the message; `--help` shows examples.',
  },
  ERR_USER_TABLE: {
    where: 'start',
    meaning: 'The table of users does not exist, cannot be read, or lacks a column that is needed.',
    remedy:
      'Set `AUTH_USER_MODEL`, `AUTH_USER_TABLE` or the `AUTH_USER_…_COLUMN` that the message names, as in the model.',
  },
}
