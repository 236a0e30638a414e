import { isAbsolute, resolve } from 'node:path'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import type { Failure, ProjectFacts, StoreFacts } from './ask-django.ts'
import { databaseAsUrl } from './django-database.ts'
import { isPythonObject, type PlainValue, recordOf } from './plain-value.ts'
import { type Context, isFailure } from './take-context.ts'

/** The databases of the users and of the sessions. */
export function takeDatabases(context: Context): void {
  const { facts, set, refuse, warn } = context
  const { user, store, cacheAlias } = facts
  const main = isFailure(user) ? 'default' : user.alias
  const url = takeDatabase(main, context)
  set('DATABASE_URL', url)
  set('DATABASE_TIME_ZONE', zoneOf(main, facts))
  if (main !== 'default')
    warn(
      'DATABASES',
      `a router keeps the users in ${quote(main)}; the other tables are looked for there, too`,
    )
  const model = isFailure(store) ? null : store.model
  const sessions = model === null ? main : model.alias
  if (sessions !== main) {
    const own = takeDatabase(sessions, context)
    if (own !== url) {
      set('SESSION_DATABASE_URL', own)
      set('SESSION_DATABASE_TIME_ZONE', zoneOf(sessions, facts))
    }
  }
  if (typeof cacheAlias === 'string' && usesCache(store) && cacheAlias !== sessions)
    refuse(
      'CACHES',
      `a router keeps the table of the cache in the database ${quote(cacheAlias)}, but the sessions are in ${quote(sessions)}; keep both in one database`,
    )
}

function takeDatabase(alias: string, { facts, refuse, warn }: Context): string | null {
  const entry = facts.databases[alias]
  const setting = `DATABASES[${quote(alias)}]`
  if (entry === undefined) {
    refuse(setting, 'is missing, though a router names it')
    return null
  }
  if (isFailure(entry)) {
    refuse(setting, `cannot be loaded: ${entry.error}`)
    return null
  }
  const { url, refused, warnings } = databaseAsUrl(entry, facts)
  for (const reason of refused) refuse(setting, reason)
  for (const reason of warnings) warn(setting, reason)
  return url
}

/** Only where it has an effect: with USE_TZ, and not on PostgreSQL, which keeps instants. */
function zoneOf(alias: string, { databases, settings }: ProjectFacts): string | null {
  const entry = databases[alias]
  if (entry === undefined || isFailure(entry)) return null
  const { TIME_ZONE, vendor } = entry
  return typeof TIME_ZONE === 'string' && settings.USE_TZ && vendor !== 'postgresql' ? TIME_ZONE : null
}

function usesCache(store: StoreFacts | Failure): boolean {
  if (isFailure(store)) return false
  const engine = store.classes.find(({ module }) => SESSION_ENGINES.has(module))
  return SESSION_ENGINES.get(engine?.module ?? '')?.needsCache === true
}

/** The one entry that keeps sessions: the others may hold further passwords. */
export function takeCaches({ facts, set, refuse }: Context): void {
  if (!usesCache(facts.store)) return
  const { CACHES = null, SESSION_CACHE_ALIAS = 'default' } = facts.settings
  const alias = String(SESSION_CACHE_ALIAS)
  const entry = recordOf(recordOf(CACHES)[alias] ?? null)
  set('SESSION_CACHE_ALIAS', alias)
  const setting = `CACHES[${quote(alias)}]`
  const objects = [...pythonObjects(entry, '')].filter(({ path }) => path !== '.KEY_FUNCTION')
  for (const { path, type } of objects)
    refuse(setting, `its ${path.slice(1)} is a Python object (${type}), which cannot be carried over`)
  if (objects.length > 0) return
  const { KEY_FUNCTION = null, LOCATION = '', ...rest } = entry
  const isOwnFunction =
    KEY_FUNCTION !== null && KEY_FUNCTION !== 'django.core.cache.backends.base.default_key_func'
  if (isOwnFunction)
    refuse(
      setting,
      'has a KEY_FUNCTION, which is Python code; remove it, or use a cache of its own for sessions',
    )
  const isFolder = String(rest.BACKEND).endsWith('.FileBasedCache') && typeof LOCATION === 'string'
  const location = isFolder && !isAbsolute(LOCATION) ? resolve(facts.folder, LOCATION) : LOCATION
  set('CACHES', JSON.stringify({ [alias]: { ...rest, LOCATION: location } }))
}

function* pythonObjects(value: PlainValue, path: string): Generator<{ path: string; type: string }> {
  if (isPythonObject(value)) yield { path, type: value.__python__ }
  else if (typeof value === 'object' && value !== null)
    for (const [key, part] of Object.entries(value)) yield* pythonObjects(part, `${path}.${key}`)
}

function quote(alias: string): string {
  return `'${alias}'`
}
