import { isAbsolute } from 'node:path'
import type { CacheSettings } from '../../caches/cache-settings.ts'
import { quoted } from '../../checks/quoted.ts'
import { canonicalize, parseObject } from '../../django/json.ts'
import type { VersionProfile } from '../../django/versions.ts'
import type { Environment } from './environment.ts'

/**
 * Returns the entry of CACHES (a JSON object in Django's own shape) that SESSION_CACHE_ALIAS names; or null, and adds the
 * reasons to `problems`. They quote neither LOCATION nor OPTIONS: both may hold a password. TIMEOUT is accepted and has
 * no effect, since a session has its own. Source: django/core/cache/__init__.py and the backends' `__init__`.
 */
export function readCache(
  environment: Environment,
  {
    engine,
    profile,
    problems,
    warnings,
  }: { engine: string; profile: VersionProfile | null; problems: string[]; warnings: string[] },
): CacheSettings | null {
  const alias = environment.text('SESSION_CACHE_ALIAS') ?? 'default'
  const text = environment.text('CACHES')
  if (text === null) {
    problems.push(
      `CACHES is empty, and ${engine} needs it; set it to the CACHES of the Django project, as JSON`,
    )
    return null
  }
  const caches = parseRecord(text)
  if (caches === null) {
    problems.push(
      'CACHES is not a JSON object; write {"default": {"BACKEND": "…", "LOCATION": "…"}} with double quotes, as Django has it',
    )
    return null
  }
  const entry = caches[alias]
  if (!isRecord(entry)) {
    const names = Object.keys(caches).map(quoted)
    problems.push(
      `CACHES has no entry ${quoted(alias)}; set SESSION_CACHE_ALIAS to one of its names (${names.join(', ') || 'it is empty'}), as in Django`,
    )
    return null
  }
  const found: string[] = []
  const cache = readEntry(entry, profile, found, keyParts(text, alias))
  const where = `CACHES[${quoted(alias)}]`
  problems.push(...found.map((problem) => `${where}: ${problem}`))
  for (const name of Object.keys(entry))
    if (!KNOWN.has(name)) warnings.push(`${where}: ${name} is unknown and ignored`)
  const options = KNOWN_OPTIONS.get(cache.backend)
  for (const name of Object.keys(cache.options))
    if (options?.has(name) === false) warnings.push(`${where}: OPTIONS.${name} is ignored, as in Django`)
  return found.length > 0 ? null : cache
}

function readEntry(
  entry: Readonly<Record<string, unknown>>,
  profile: VersionProfile | null,
  problems: string[],
  { keyPrefix, version }: { keyPrefix: string | null; version: string | null },
): CacheSettings {
  const { BACKEND, LOCATION = '', OPTIONS = {}, KEY_FUNCTION } = entry
  const backend = typeof BACKEND === 'string' ? BACKEND : ''
  const refusal = whyRefused(BACKEND, profile)
  if (refusal !== null) problems.push(refusal)
  if (keyPrefix === null) problems.push('KEY_PREFIX is neither a string nor a number; set it as in Django')
  if (version === null) problems.push('VERSION is neither a number nor a string; set it as in Django')
  if (!isRecord(OPTIONS)) problems.push('OPTIONS is not a JSON object; set it as in Django')
  if (KEY_FUNCTION !== undefined && KEY_FUNCTION !== null) {
    problems.push(
      'KEY_FUNCTION is not supported: it is Python code; remove it, in Django too, or use a separate cache for sessions',
    )
  }
  return {
    backend,
    location: readLocation(LOCATION, backend, problems),
    keyPrefix: keyPrefix ?? '',
    version: String(Number(version)) === version ? Number(version) : (version ?? 1),
    options: isRecord(OPTIONS) ? OPTIONS : {},
  }
}

/** What is put before a key. Source: django/core/cache/backends/base.py, default_key_func: `'%s:%s:%s'`. */
function keyParts(caches: string, alias: string): { keyPrefix: string | null; version: string | null } {
  const entry = parseObject(parseObject(caches).get(alias) ?? '{}')
  return {
    keyPrefix: asPython(entry.get('KEY_PREFIX') ?? '""'),
    version: asPython(entry.get('VERSION') ?? '1'),
  }
}

/** What Python's `%s` makes of a JSON value; null for a list or an object. */
function asPython(json: string): string | null {
  const value: unknown = JSON.parse(json)
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return value
  return typeof value === 'number' ? canonicalize(json) : null // 1.0 is not 1 in Python's `%s`
}

const DJANGO = 'django.core.cache.backends.'

/** What separates the servers in a LOCATION that is a string; null when it is one name, which may hold any character. */
const SEPARATORS: ReadonlyMap<string, RegExp | null> = new Map([
  [`${DJANGO}redis.RedisCache`, /[;,]/], // RedisCache.__init__
  ['django_redis.cache.RedisCache', /,/], // django_redis/client/default.py, DefaultClient.__init__
  [`${DJANGO}memcached.PyMemcacheCache`, /[;,]/], // BaseMemcachedCache.__init__
  [`${DJANGO}memcached.PyLibMCCache`, /[;,]/],
  [`${DJANGO}memcached.MemcachedCache`, /[;,]/],
  [`${DJANGO}db.DatabaseCache`, null],
  [`${DJANGO}filebased.FileBasedCache`, null],
])

/** Backends that do not share anything between processes. */
const UNSHARED: ReadonlyMap<string, string> = new Map([
  [
    `${DJANGO}locmem.LocMemCache`,
    "in the memory of one process, which Django's other processes and this service do not see",
  ],
  [`${DJANGO}dummy.DummyCache`, 'nowhere'],
])

function whyRefused(backend: unknown, profile: VersionProfile | null): string | null {
  const choices = [...SEPARATORS.keys()].filter((name) => profile?.hasCacheBackend(name) ?? true)
  const advice = `set BACKEND to one of ${choices.join(', ')}, here and in Django`
  if (typeof backend !== 'string' || backend === '') return `BACKEND is empty; ${advice}`
  const place = UNSHARED.get(backend)
  if (place !== undefined) return `${backend} keeps sessions ${place}; ${advice}`
  if (!SEPARATORS.has(backend)) return `its BACKEND ${quoted(backend)} is unknown; ${advice}`
  if (profile?.hasCacheBackend(backend) === false)
    return `Django ${profile.version} has no ${backend}; ${advice}`
  return null
}

function readLocation(location: unknown, backend: string, problems: string[]): readonly string[] {
  const separator = SEPARATORS.get(backend)
  const listed: unknown[] = Array.isArray(location) ? location : [location]
  const texts = listed.filter((one) => typeof one === 'string')
  if (texts.length < listed.length) {
    problems.push('LOCATION is neither a string nor a list of strings; set it as in Django')
    return []
  }
  const locations =
    Array.isArray(location) || !separator ? texts : texts.flatMap((one) => one.split(separator))
  if (separator === null) problems.push(...locationProblems(backend, locations))
  else if (locations.length === 0 || locations.some((one) => one.trim() === ''))
    problems.push('LOCATION is empty, or one of its servers is; set it to the servers, as in Django')
  return locations.map((one) => (separator === null ? one : one.trim()))
}

function* locationProblems(backend: string, locations: readonly string[]): Generator<string> {
  const isFolder = backend === `${DJANGO}filebased.FileBasedCache`
  const [location = ''] = locations
  if (locations.length !== 1 || location === '')
    yield `LOCATION is not one ${isFolder ? 'folder' : 'table'}; set it as in Django`
  else if (isFolder && !isAbsolute(location))
    yield 'LOCATION is a relative folder, which means a different folder for each program; write an absolute path, here and in Django'
}

const KNOWN: ReadonlySet<string> = new Set(
  (
    'BACKEND LOCATION KEY_PREFIX VERSION TIMEOUT OPTIONS KEY_FUNCTION timeout max_entries cull_frequency ' +
    'REVERSE_KEY_FUNCTION'
  ).split(' '),
)

const CULLING: ReadonlySet<string> = new Set(['MAX_ENTRIES', 'CULL_FREQUENCY'])

/** The OPTIONS that a backend reads by name. Other backends pass all of them to their client. */
const KNOWN_OPTIONS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [`${DJANGO}db.DatabaseCache`, CULLING],
  [`${DJANGO}filebased.FileBasedCache`, CULLING],
  [
    'django_redis.cache.RedisCache',
    new Set([
      ...CULLING,
      ...(
        'CLIENT_CLASS SERIALIZER COMPRESSOR USERNAME PASSWORD PICKLE_VERSION IGNORE_EXCEPTIONS SOCKET_TIMEOUT ' +
        'LOG_IGNORED_EXCEPTIONS SOCKET_CONNECT_TIMEOUT CONNECTION_POOL_CLASS CONNECTION_POOL_KWARGS ' +
        'CONNECTION_FACTORY SENTINELS SENTINEL_KWARGS PARSER_CLASS REDIS_CLIENT_CLASS REDIS_CLIENT_KWARGS ' +
        'REPLICA_READ_ONLY SLAVE_READ_ONLY CLOSE_CONNECTION'
      ).split(' '),
    ]),
  ],
])

function parseRecord(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : null
  } catch {
    return null // The parser's message quotes the text.
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
