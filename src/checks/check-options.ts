import type { SessionEvents } from '../session/events.ts'
import type { DjangoAuthOptions } from '../site/django-auth.ts'
import type { DjangoSessionsOptions } from '../site/django-sessions.ts'

/** What is said to one who calls the library wrongly: what was wrong, what was expected, what to do. */

/** A value as an error may show it: never the value itself, which may be a secret. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value instanceof Promise) return 'a promise; await it'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

type Options = DjangoSessionsOptions & DjangoAuthOptions

/** One object may hold the options of both. */
const NAMES: Readonly<Record<keyof Options, true>> = {
  backends: true,
  cache: true,
  columns: true,
  conflictTimeout: true,
  cookie: true,
  cookieAge: true,
  databaseTimeZone: true,
  db: true,
  defaultHashingAlgorithm: true,
  djangoVersion: true,
  engine: true,
  events: true,
  expireAtBrowserClose: true,
  filePath: true,
  maxInflatedBytes: true,
  now: true,
  onPasswordRefused: true,
  onUnverified: true,
  passwordHashers: true,
  saveEveryRequest: true,
  secretKeys: true,
  serializer: true,
  sessionHash: true,
  storeClass: true,
  table: true,
  timeZone: true,
  userModel: true,
  useTz: true,
}

const names = Object.keys(NAMES)

const EVENTS: Readonly<Record<keyof SessionEvents, true>> = {
  cacheFailure: true,
  conflict: true,
  decode: true,
  load: true,
  lostChange: true,
  retry: true,
  unreadable: true,
}

const eventNames = Object.keys(EVENTS)

/**
 * The options of `djangoSessions`, `djangoAuth` and `openDjangoSite`, as a program without types may give them. What only
 * one of their parts can judge (a dotted path, a time zone) it judges itself.
 * @throws {TypeError}
 */
export function checkOptions(caller: string, options: unknown): void {
  checkObject(caller, 'its options', options)
  const given = options as Readonly<Record<string, unknown>>
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(NAMES, name))
  if (unknown !== undefined) throw new TypeError(`${caller} has no option ${unknown}; ${hintFor(unknown)}`)
  checkSecretKeys(caller, given.secretKeys)
  checkDjangoVersion(caller, given.djangoVersion)
  if (given.db !== undefined) checkKnex(caller, given.db)
  checkTypes(caller, given, 'boolean', ['useTz', 'expireAtBrowserClose', 'saveEveryRequest'])
  checkTypes(caller, given, 'number', ['cookieAge', 'conflictTimeout', 'maxInflatedBytes'])
  checkTypes(caller, given, 'string', ['timeZone', 'serializer'])
  checkTypes(
    caller,
    given,
    'function',
    names.filter((name) => name === 'now' || (/^on[A-Z]/.test(name) && given[name] !== null)),
  )
  if (given.cookie !== undefined) checkObject(caller, 'cookie', given.cookie)
  if (given.events !== undefined) checkEvents(caller, given.events)
}

/** They may be an instance of a class, which may also hold what is no function. */
function checkEvents(caller: string, events: unknown): void {
  checkObject(caller, 'events', events)
  const unknown = Object.entries(events).find(
    ([name, value]) => typeof value === 'function' && !Object.hasOwn(EVENTS, name),
  )
  if (unknown !== undefined)
    throw new TypeError(`${caller} has no event ${unknown[0]}; the events are ${eventNames.join(', ')}`)
  for (const name of eventNames) {
    const listener: unknown = Reflect.get(events, name)
    if (listener === undefined || typeof listener === 'function') continue
    if (name === 'lostChange' && listener === null) continue
    throw new TypeError(`${caller}: events.${name} must be a function, but is ${kindOf(listener)}`)
  }
}

/** `secretKeys` for secretKey, `cookieAge` for SESSION_COOKIE_AGE. */
function hintFor(unknown: string): string {
  const event = eventNames.find((name) => unknown === `on${name[0]?.toUpperCase()}${name.slice(1)}`)
  if (event !== undefined) return `it is now events.${event}`
  const plain = (name: string) =>
    name
      .replaceAll('_', '')
      .toLowerCase()
      .replace(/^session/, '')
  const asked = plain(unknown)
  const isNear = (name: string) =>
    asked !== '' && (plain(name).startsWith(asked) || asked.startsWith(plain(name)))
  const meant = names.find((name) => plain(name) === asked) ?? names.find(isNear)
  return meant === undefined ? `it takes ${names.join(', ')}` : `did you mean ${meant}?`
}

/** @throws {TypeError} */
export function checkObject(caller: string, name: string, value: unknown): asserts value is object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Promise))
    return
  throw new TypeError(`${caller}: ${name} must be an object, but is ${kindOf(value)}`)
}

/** Each option that is given must be of this type. */
function checkTypes(
  caller: string,
  options: Readonly<Record<string, unknown>>,
  type: 'boolean' | 'function' | 'number' | 'string',
  which: readonly string[],
): void {
  for (const name of which) {
    const value = options[name]
    if (value === undefined) continue
    if (typeof value === type && value !== null && !Number.isNaN(value)) continue
    throw new TypeError(`${caller}: ${name} must be a ${type}, but is ${kindOf(value)}`)
  }
}

/** @throws {TypeError} */
export function checkSecretKeys(caller: string, secretKeys: unknown): void {
  const expected =
    'must be a list of SECRET_KEY and, after it, SECRET_KEY_FALLBACKS: secretKeys: [SECRET_KEY]'
  if (!Array.isArray(secretKeys) || secretKeys.length === 0)
    throw new TypeError(`${caller}: secretKeys is ${kindOf(secretKeys)}; it ${expected}`)
  for (const [index, key] of secretKeys.entries()) {
    const isKey = typeof key === 'string' || key instanceof Uint8Array
    if (!isKey)
      throw new TypeError(`${caller}: secretKeys[${index}] is ${kindOf(key)}; it must be a text or bytes`)
    if (key.length === 0)
      throw new TypeError(
        `${caller}: secretKeys[${index}] is empty; set it to the SECRET_KEY of the Django project`,
      )
  }
}

function checkDjangoVersion(caller: string, version: unknown): void {
  if (typeof version === 'string' && version !== '') return
  throw new TypeError(
    `${caller}: djangoVersion is ${version === '' ? 'empty' : kindOf(version)}; it must be the text that ` +
      "`python -m django --version` prints on the Django site, such as '4.2'",
  )
}

/** @throws {TypeError} */
export function checkKnex(caller: string, db: unknown): void {
  const isKnex = typeof db === 'function' && 'client' in db && 'raw' in db
  if (isKnex) return
  throw new TypeError(
    `${caller}: db is ${kindOf(db)}; it must be a Knex: knex({ client: 'mysql2', connection: DATABASE_URL })`,
  )
}

/** For a part that another function of ours made, as `from` says, or one of the caller's own. @throws {TypeError} */
export function checkMethods(
  caller: string,
  part: { name: string; value: unknown; from: string },
  methods: readonly string[],
): void {
  const { name, value, from } = part
  const has = (method: string) => typeof Reflect.get(Object(value), method) === 'function'
  const missing = methods.find((method) => !has(method))
  if (missing === undefined) return
  const what =
    typeof value === 'object' && value !== null ? `has no method ${missing}()` : `is ${kindOf(value)}`
  throw new TypeError(`${caller}: ${name} ${what}; it must be ${from}`)
}

/** @throws {TypeError} */
export function checkSite(caller: string, site: unknown): void {
  checkMethods(caller, { name: 'site', value: site, from: 'what openDjangoSite returns' }, ['open'])
}

/** @throws {TypeError} */
export function checkProfile(caller: string, profile: unknown): void {
  if (typeof profile === 'object' && profile !== null && 'csrf' in profile) return
  throw new TypeError(
    `${caller}: profile is ${kindOf(profile)}; it must be what versionProfile('4.2') returns`,
  )
}
