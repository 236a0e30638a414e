import './checks/check-node.ts'

// checks/: what a program or a site lacks

export { MissingPackage } from './checks/optional-package.ts'

// django/: what Django decided: codecs and rules as pure functions

export type { SessionHashRule } from './django/auth-hash.ts'
export type { CookieSettings } from './django/cookie.ts'
export { createDateColumn, type DatabaseKind, type DateColumn } from './django/datetime.ts'
export { type ExpiryRules, InvalidSessionExpiry } from './django/expiry.ts'
export { TooManyFieldsSent, TooManyFilesSent, UnreadablePost } from './django/forms.ts'
export {
  canonicalize,
  JSONDecodeError,
  NotAnObject,
  NotSerializable,
  type PythonValue,
  parseObject,
  parseValue,
  type SessionData,
  stringifyObject,
  stringifyValue,
} from './django/json.ts'
export { MESSAGE_LEVELS, type Message } from './django/messages.ts'
export { type PasswordRefusal, PasswordsBusy } from './django/passwords.ts'
export {
  type ClockParts,
  PythonDate,
  PythonDatetime,
  PythonTime,
  PythonTimedelta,
  PythonTimezone,
  type ZoneSource,
} from './django/pickle/datetimes.ts'
export { PickleRefused, UnpicklingError } from './django/pickle/errors.ts'
export type { PickledValue } from './django/pickle/javascript.ts'
export type { PickleLimits } from './django/pickle/measure.ts'
export { parsePickledObject, pickleObject } from './django/pickle/pickle.ts'
export {
  PythonByteArray,
  PythonDecimal,
  PythonFloat,
  PythonFrozenSet,
  PythonStr,
  PythonTuple,
  PythonUuid,
  SafeString,
} from './django/pickle/python-values.ts'
export {
  createSessionCodec,
  type DecodedSession,
  type SessionCodec,
  type SessionCodecOptions,
  UnreadableSession,
} from './django/session-data.ts'
export { InvalidSessionKey, isValidSessionKey, newSessionKey } from './django/session-key.ts'
export type { SerializerName } from './django/session-serializers.ts'
export { SessionTooLarge } from './django/session-too-large.ts'
export { jsonValues, pickledKey, pickledValues, type SessionValues } from './django/session-values.ts'
export {
  type CsrfRules,
  type HashAlgorithm,
  type MessagesCookieFormat,
  type MessagesRules,
  type SessionFormat,
  UnknownDjangoVersion,
  type VersionProfile,
  versionProfile,
} from './django/versions.ts'

// session/: what a session is

export {
  type CheckedSession,
  type CheckedValues,
  type Misfit,
  type MisfitPolicy,
  SessionMisfit,
} from './session/checked-session.ts'
export { ConflictTimeout, SessionInterrupted } from './session/commit.ts'
export {
  ConflictError,
  CreateError,
  type KeyedSession,
  type NewSession,
  type SessionClient,
  type SessionEngine,
  type SessionWriter,
  type StoredSession,
  UncertainWrite,
  UpdateError,
} from './session/engine.ts'
export type { CacheFailure, LoadOutcome, SessionEvents } from './session/events.ts'
export {
  createSessions,
  type SessionHandle,
  type SessionOutcome,
  type Sessions,
  type SessionsOptions,
} from './session/handle.ts'
export { MergeConflict } from './session/merge.ts'
export type { MergePolicies, MergePolicy } from './session/merge-policies.ts'
export type { SavedSession } from './session/saved-session.ts'
export { type AnySession, KeyError, Session } from './session/session.ts'
// A star: `declare module` extends an interface only through one.
export type * from './session/session-types.ts'
export type {
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  StandardSchema,
} from './session/standard-schema.ts'
export type { TracedFailure, TraceMessage, TraceResult } from './session/trace-message.ts'

// engines/: where sessions are kept

export { type CacheEngineOptions, createCacheEngine } from './engines/cache.ts'
export { type CachedDbEngineOptions, createCachedDbEngine } from './engines/cached-db.ts'
export { createDbEngine, type DbEngineOptions, MissingColumnValue } from './engines/db.ts'
export {
  createQsessionsColumns,
  createUserSessionsColumns,
  type SessionColumns,
} from './engines/extra-columns.ts'
export { createFileEngine, type FileEngineOptions, UnusableSessionFolder } from './engines/file.ts'
export { createRetryingEngine, type RetryingEngineOptions } from './engines/retrying-engine.ts'
export {
  createSignedCookiesEngine,
  SessionCookieTooLarge,
  SIGNED_COOKIES_SALT,
  type SignedCookiesEngineOptions,
} from './engines/signed-cookies.ts'

// caches/: Django's CACHES

export type { Cache, CachedSession } from './caches/cache.ts'
export { CacheUnavailable, UnsupportedCache } from './caches/cache-errors.ts'
export type { CacheSettings } from './caches/cache-settings.ts'
export { createDatabaseCache, type DatabaseCacheOptions } from './caches/database.ts'
export { createFileBasedCache, type FileBasedCacheOptions } from './caches/file-based.ts'
export { createMemcachedCache, type MemcachedCacheOptions } from './caches/memcached/memcached.ts'
export { createRedisCache, type RedisCacheOptions } from './caches/redis/redis.ts'

// auth/: who the visitor is

export {
  type Auth,
  type AuthenticateOptions,
  type AuthOptions,
  type Credentials,
  createAuth,
  type GetUserOptions,
  type Identity,
  type LoginOptions,
  NoPasswordBackend,
  type SessionReader,
  UnknownSessionHash,
} from './auth/auth.ts'
export type { UnverifiedUser } from './auth/unverified.ts'
export type { AnonymousUser, User } from './auth/user.ts'
export {
  InvalidUserModel,
  type UserColumn,
  type UserColumns,
  type UserIdType,
  type UserModelOptions,
} from './auth/user-model.ts'
export { UnusableUserTable } from './auth/user-table.ts'
export { createVisitor, type Visitor } from './auth/visitor.ts'

// http/: a request's session, without a framework

export { type Csrf, CsrfFailure } from './http/csrf.ts'
export { type Form, type FormLimits, RequestDataTooBig } from './http/form.ts'
export type { AddOptions, MessageStorage, Messages, ShownMessage } from './http/messages.ts'
export {
  createSessionRequests,
  type SessionHeaders,
  type SessionRequest,
  type SessionRequests,
  type SessionRequestsOptions,
} from './http/session-exchange.ts'
export { StorageFailure, StorageUnavailable } from './http/statuses.ts'

// sql/: the databases that `db` may be

export type { BetterSqliteDatabase } from './sql/drivers/better-sqlite3.ts'
export type { MysqlPool } from './sql/drivers/mysql2.ts'
export type { NodeSqliteDatabase } from './sql/drivers/node-sqlite.ts'
export type { PgPool } from './sql/drivers/pg.ts'
export type { SqlDatabase } from './sql/executor.ts'
export { UnusableDatabase } from './sql/unusable-database.ts'

// site/: a Django site as one object

export { djangoAuth } from './site/django-auth.ts'
export {
  type Authenticated,
  type DjangoSite,
  type DjangoSiteOptions,
  openDjangoSite,
} from './site/django-site.ts'
export { type ClearedSessions, type ClearSessionsOptions, clearSessions } from './site/expired-sessions.ts'
export type { Watch, WatchEnd, WatchOptions } from './site/session-watch.ts'
export type {
  DjangoAuthOptions,
  DjangoPagesOptions,
  DjangoSessionsOptions,
  DjangoWatchOptions,
} from './site/site-options.ts'
export type { DjangoExchange, DjangoRequest, OpenedExchange, SiteRequest } from './site/site-request.ts'
export {
  type EverybodyOptions,
  InvalidCursor,
  type LoggedOut,
  type LogoutOptions,
  logoutEverybody,
  logoutUser,
  type ScanOptions,
  SessionsNotListed,
  UnknownSessionToKeep,
  UnknownUser,
  type UserChoice,
  type UserSession,
  type UserSessionPage,
  type UserSessionsSite,
  userSessions,
} from './site/user-sessions.ts'

// adapters/koa/: Koa middleware

export { createAuthMiddleware } from './adapters/koa/auth.ts'
export {
  type CsrfMiddlewareOptions,
  createCsrfMiddleware,
  protect,
} from './adapters/koa/csrf.ts'
export { type DjangoSessions, djangoSessions } from './adapters/koa/django-sessions.ts'
export { readForm, readQuery } from './adapters/koa/form.ts'
export { createMessagesMiddleware, type MessagesMiddlewareOptions } from './adapters/koa/messages.ts'
export { createSessionMiddleware } from './adapters/koa/session-middleware.ts'
