import {
  checkDjangoVersion,
  checkObject,
  checkSecretKeys,
  checkTypes,
  kindOf,
} from '../checks/check-values.ts'
import type { SessionEvents } from '../session/events.ts'
import { mergePolicyProblem } from '../session/merge-policies.ts'
import { checkDatabase } from './check-database.ts'
import type {
  DjangoAuthOptions,
  DjangoPagesOptions,
  DjangoSessionsOptions,
  DjangoWatchOptions,
} from './site-options.ts'

type Options = DjangoSessionsOptions & DjangoAuthOptions & DjangoPagesOptions & DjangoWatchOptions

/** One object may hold the options of both: `openDjangoSite` takes them. */
const NAMES: Readonly<Record<keyof Options, true>> = {
  backends: true,
  cache: true,
  columns: true,
  conflictTimeout: true,
  cookie: true,
  cookieAge: true,
  csrf: true,
  databaseTimeZone: true,
  db: true,
  defaultHashingAlgorithm: true,
  djangoVersion: true,
  engine: true,
  events: true,
  expireAtBrowserClose: true,
  filePath: true,
  maxInflatedBytes: true,
  merge: true,
  messages: true,
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
  watch: true,
}

const names = Object.keys(NAMES)

const EVENTS: Readonly<Record<keyof SessionEvents, true>> = {
  cacheFailure: true,
  conflict: true,
  decode: true,
  load: true,
  lostChange: true,
  retry: true,
  save: true,
  unreadable: true,
}

const eventNames = Object.keys(EVENTS)

/**
 * Checks the options of `djangoSessions`, `djangoAuth` and `openDjangoSite`, as a program without types may pass them.
 * A part of the site checks for itself what only that part can judge (a dotted path, a time zone).
 * @throws {TypeError}
 */
export function checkOptions(caller: string, options: unknown): void {
  checkObject(caller, 'its options', options)
  const given = options as Readonly<Record<string, unknown>>
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(NAMES, name))
  if (unknown !== undefined) throw new TypeError(`${caller} has no option ${unknown}; ${hintFor(unknown)}`)
  checkSecretKeys(caller, given.secretKeys)
  checkDjangoVersion(caller, given.djangoVersion)
  if (given.db !== undefined) checkDatabase(caller, given.db)
  checkTypes(caller, given, 'boolean', ['useTz', 'expireAtBrowserClose', 'saveEveryRequest'])
  checkTypes(caller, given, 'number', ['cookieAge', 'conflictTimeout', 'maxInflatedBytes'])
  checkTypes(caller, given, 'string', ['timeZone', 'serializer'])
  checkTypes(
    caller,
    given,
    'function',
    names.filter((name) => name === 'now' || (/^on[A-Z]/.test(name) && given[name] !== null)),
  )
  for (const name of ['cookie', 'csrf', 'messages'])
    if (given[name] !== undefined) checkObject(caller, name, given[name])
  if (given.events !== undefined) checkEvents(caller, given.events)
  if (given.merge !== undefined) checkMerge(caller, given.merge)
  if (given.watch !== undefined) checkWatch(caller, given.watch)
}

function checkMerge(caller: string, merge: unknown): void {
  checkObject(caller, 'merge', merge)
  for (const [key, policy] of Object.entries(merge)) {
    const problem = mergePolicyProblem(key, policy)
    if (problem !== null) throw new TypeError(`${caller}: merge[${JSON.stringify(key)}] ${problem}`)
  }
}

/** Node runs a timer of less than a millisecond, or of more than 24.8 days, after a millisecond. */
const LONGEST_TIMER = 2 ** 31 - 1

function checkWatch(caller: string, watch: unknown): void {
  checkObject(caller, 'watch', watch)
  const unknown = Object.keys(watch).find((name) => name !== 'interval' && name !== 'unknownAfter')
  if (unknown !== undefined)
    throw new TypeError(`${caller} has no option watch.${unknown}; watch has interval and unknownAfter`)
  for (const [name, value] of Object.entries(watch)) {
    if (value === undefined || (typeof value === 'number' && value >= 1 && value <= LONGEST_TIMER)) continue
    throw new TypeError(
      `${caller}: watch.${name} must be a number of milliseconds from 1 to ${LONGEST_TIMER}, but is ${typeof value === 'number' ? value : kindOf(value)}`,
    )
  }
}

/** `events` may be an instance of a class, which may also have properties that are not functions. */
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
    if ((name === 'lostChange' || name === 'save') && listener === null) continue
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
