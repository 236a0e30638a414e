import { resolve } from 'node:path'
import { SESSION_ENGINES, type SessionEngineNeeds } from '../../django/session-engines.ts'
import { CACHE_KEY_PREFIX } from '../../engines/cache.ts'
import { copyPrefixOf } from '../../engines/cached-db.ts'
import { MERGE_POLICIES } from '../../session/merge-policies.ts'
import type { StoreFacts } from './ask-django.ts'
import { recordOf } from './plain-value.ts'
import { type Context, isFailure } from './take-context.ts'

/** Methods and attributes of a store that decide how a session is stored. */
const STORED = new Set(
  'encode decode _hash key_salt serializer cache_key_prefix cache_key _key_to_file file_prefix'.split(' '),
)

/** Methods of a store that may do more than Django's. */
const BEHAVIOUR = new Set(
  (
    '__init__ load save create create_model_instance exists delete flush cycle_key _get_session _get_session_from_db ' +
    'get_expiry_age get_expiry_date get_expire_at_browser_close _get_new_session_key'
  ).split(' '),
)

/** The session engine, with what the project's own store changes. */
export function takeStore({ facts, set, refuse, warn }: Context): void {
  const { store, settings } = facts
  const named = String(settings.SESSION_ENGINE ?? '')
  if (isFailure(store)) {
    refuse('SESSION_ENGINE', `${named} cannot be loaded: ${store.error}`)
    return
  }
  takeSessionMiddleware({ facts, refuse, warn })
  const at = store.classes.findIndex(({ module }) => SESSION_ENGINES.has(module))
  const engine = store.classes[at]?.module
  const needs = SESSION_ENGINES.get(engine ?? '')
  if (engine === undefined || needs === undefined) {
    refuse(
      'SESSION_ENGINE',
      `${named} is not supported: its SessionStore is not derived from one of ${[...SESSION_ENGINES.keys()].join(', ')}`,
    )
    return
  }
  set('SESSION_ENGINE', engine)
  const own = store.classes.slice(0, at)
  takeOwnStore(store, { own, needs, facts, set, refuse, warn })
  if (needs.keptIn === 'folder') {
    const path = settings.SESSION_FILE_PATH
    set(
      'SESSION_FILE_PATH',
      resolve(facts.folder, typeof path === 'string' && path !== '' ? path : facts.temporaryFolder),
    )
  }
  if (needs.keptIn === 'table' && store.model !== null) takeModel(store.model, { needs, set, refuse })
}

/** SESSION_MERGE of the engines of merging_sessions. A policy that is a function is Python code. */
export function takeMerge({ facts, set, warn }: Context): void {
  const policies = Object.entries(recordOf(facts.settings.SESSION_MERGE ?? null))
  const names = policies.filter(([, policy]) => MERGE_POLICIES.some((name) => name === policy))
  for (const [key, policy] of policies)
    if (typeof policy === 'string' && policy.includes('.'))
      warn(
        'SESSION_MERGE',
        `its policy of ${key}, ${policy}, is Python code, which does not run here: the later value wins`,
      )
  if (names.length > 0) set('SESSION_MERGE', JSON.stringify(Object.fromEntries(names)))
}

const SESSION_MIDDLEWARE = [
  'django.contrib.sessions.middleware.SessionMiddleware',
  'qsessions.middleware.SessionMiddleware',
  'user_sessions.middleware.SessionMiddleware',
]

function takeSessionMiddleware({ facts, refuse, warn }: Pick<Context, 'facts' | 'refuse' | 'warn'>): void {
  const paths = Array.isArray(facts.middleware) ? facts.middleware.map(String) : []
  if (paths.some((path) => SESSION_MIDDLEWARE.includes(path))) return
  const own = paths.find((path) => /session/i.test(path))
  if (own === undefined)
    refuse(
      'MIDDLEWARE',
      `has no session middleware, so the project has no sessions; add ${SESSION_MIDDLEWARE[0]}`,
    )
  else warn('MIDDLEWARE', `has its own session middleware ${own}, whose code does not run here`)
}

interface OwnStore extends Context {
  /** The project's own classes, above the engine's. */
  readonly own: StoreFacts['classes']
  readonly needs: SessionEngineNeeds
}

function takeOwnStore(store: StoreFacts, { own, needs, facts, set, refuse, warn }: OwnStore): void {
  // Before 3.1, the salt is made of __name__, and there is no key_salt (backends/base.py, _hash).
  const name = store.keySalt === null ? store.name : store.qualifiedName
  if (name !== 'SessionStore') set('SESSION_STORE_CLASS', name)
  for (const { module, name: ownName, defines } of own) {
    const stored = defines.filter((one) => STORED.has(one))
    const behaviour = defines.filter((one) => BEHAVIOUR.has(one))
    if (stored.length > 0)
      refuse(
        'SESSION_ENGINE',
        `its class ${module}.${ownName} defines ${stored.join(', ')}, so sessions are not stored as Django stores them; only its own Python can read them`,
      )
    if (behaviour.length > 0)
      warn(
        'SESSION_ENGINE',
        `its class ${module}.${ownName} defines ${behaviour.join(', ')}, which does not run here`,
      )
  }
  if (own.length > 0) checkSalts(store, { needs, refuse })
  set('SESSION_COOKIE_AGE', String(store.cookieAge))
  if (store.cookieAge !== facts.settings.SESSION_COOKIE_AGE)
    warn(
      'SESSION_COOKIE_AGE',
      `the store's get_session_cookie_age() returns ${store.cookieAge}; if it is not always the same, sessions last longer or shorter here`,
    )
}

/** A class between the project's and the engine's may come from a package, too. */
function checkSalts(
  { keySalt, qualifiedName, cacheKeyPrefix }: StoreFacts,
  { needs, refuse }: { needs: SessionEngineNeeds; refuse: Context['refuse'] },
): void {
  if (keySalt !== null && keySalt !== `django.contrib.sessions.${qualifiedName}`)
    refuse('SESSION_ENGINE', 'its key_salt is not the one that Django derives from the name of the class')
  const prefix = needs.keptIn === 'cache' ? CACHE_KEY_PREFIX : copyPrefixOf(needs)
  if (needs.needsCache && cacheKeyPrefix !== null && cacheKeyPrefix !== prefix)
    refuse('SESSION_ENGINE', `its cache_key_prefix is not ${prefix}, so other keys are used in the cache`)
}

function takeModel(
  model: NonNullable<StoreFacts['model']>,
  { needs, set, refuse }: { needs: SessionEngineNeeds } & Pick<Context, 'set' | 'refuse'>,
): void {
  if (model.table !== needs.table) set('SESSION_DB_TABLE', model.table)
  const renamed = Object.entries(model.columns).filter(([name, column]) => name !== column)
  if (renamed.length > 0)
    refuse(
      'SESSION_ENGINE',
      `the columns of its table ${model.table} have other names: ${renamed.map(([name, column]) => `${column} for ${name}`).join(', ')}`,
    )
  if (needs.package === 'django' && model.required.length > 0)
    refuse(
      'SESSION_ENGINE',
      `its table ${model.table} has columns that each new session must fill: ${model.required.join(', ')}; allow NULL there, or give them a default in the database`,
    )
}
