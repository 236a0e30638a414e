import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'

/**
 * What may import what (ARCHITECTURE.md, "The picture"): for the files whose path under src/ begins so, how a path or a
 * package's name must begin. `type`: types only, which vanish in JavaScript. `!`: everything else.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'django/': [
    'django/',
    'node:buffer',
    'node:crypto',
    'node:zlib',
    'node:util',
    '@node-rs/argon2',
    '@node-rs/bcrypt',
  ],
  'session/': ['session/', 'map-failures.ts', 'django/', 'node:'],
  'engines/': [
    'engines/',
    'file-lock.ts',
    'session/engine.ts',
    'statement.ts',
    'row-size.ts',
    'driver-errors.ts',
    'share-next.ts',
    'django/',
    'type caches/cache.ts',
    'type knex',
    'node:',
  ],
  'caches/': [
    'caches/',
    'file-lock.ts',
    'quoted.ts',
    'row-size.ts',
    'django/',
    'type settings/cache-settings.ts',
    'type knex',
    'node:',
    'ioredis',
  ],
  'auth/': ['auth/', 'quoted.ts', 'map-failures.ts', 'session/', 'django/', 'type knex', 'node:'],
  'web/': [
    'web/',
    'check-options.ts',
    'session/',
    'auth/',
    'django/cookie.ts',
    'django/csrf.ts',
    'django/forms.ts',
    'django/hosts.ts',
    'django/path-info.ts',
    'django/path-pattern.ts',
    'django/safe-url.ts',
    'django/messages.ts',
    'type django/',
    'type catalog.ts',
    'koa',
    'nunjucks',
    'prom-client',
    'raw-body',
    'helmet',
    'node:',
  ],
  'cli/': [
    'node-version.ts',
    'quoted.ts',
    'cli/',
    'service.ts',
    'settings',
    'session/',
    'django/',
    'log.ts',
    'web/http.ts',
    'web/log.ts',
    'web/pipelining.ts',
    'web/time-limit.ts',
    'web/upstream-upgrade.ts',
    'commander',
    'close-with-grace',
    'node:',
  ],
  'settings/': ['settings/', 'quoted.ts', 'django/', 'node:'],
  'settings.ts': ['settings/', 'quoted.ts', 'django/', 'node:'],
  'quoted.ts': [],
  'database/': ['database/', 'settings/', 'type knex', 'type pg', 'node:'],
  'database.ts': ['database/', 'settings', 'knex', 'type pg', 'node:'],
  'file-lock.ts': ['node:'],
  'catalog.ts': ['statement.ts', 'share-next.ts', 'type knex'],
  'statement.ts': ['type knex'],
  'row-size.ts': ['django/', 'statement.ts', 'driver-errors.ts', 'type knex'],
  'driver-errors.ts': [],
  'share-next.ts': [],
  'map-failures.ts': [],
  'node-version.ts': [],
  'check-node.ts': ['node-version.ts'],
  'check-options.ts': ['type django-auth.ts', 'type django-sessions.ts'],
  'clock-skew.ts': ['type knex', 'type django/'],
  'log.ts': ['pino', 'type web/log.ts', 'type settings.ts', 'node:'],
  'demo/': ['demo/', 'django/', 'database.ts', 'type settings', 'knex', 'node:'],
  'startup.ts': ['django/', 'engines/db.ts', 'start-problem.ts', 'type knex'],
  'start-problem.ts': ['type settings/'],
  'readiness.ts': ['web/health.ts'],
  'session-engine.ts': [
    'django/',
    'session/',
    'engines/',
    'caches/',
    'settings/cache-settings.ts',
    'type knex',
    'node:',
  ],
  'django-sessions.ts': [
    'check-options.ts',
    'django/',
    'session/',
    'session-engine.ts',
    'type engines/session-columns.ts',
    'web/session-',
    'web/statuses.ts',
    'type caches/cache.ts',
    'type settings/cache-settings.ts',
    'type knex',
    'type koa',
  ],
  'django-site.ts': ['django-sessions.ts', 'django-auth.ts', 'auth/', 'type session/', 'type web/'],
  'adapters/': [
    'check-node.ts',
    'check-options.ts',
    'type django-site.ts',
    'web/held-response.ts',
    'web/session-client.ts',
    'type web/',
    'type fastify',
    'node:',
  ],
  'django-auth.ts': [
    'check-options.ts',
    'django/',
    'auth/',
    'engines/db.ts',
    'map-failures.ts',
    'web/statuses.ts',
    'type django-sessions.ts',
    'type knex',
  ],
  'visitors.ts': [
    'django/',
    'django-sessions.ts',
    'django-auth.ts',
    'web/auth.ts',
    'web/csrf.ts',
    'web/messages.ts',
    'type auth/',
    'type knex',
    'type koa',
  ],
  'service.ts': ['!cli/'],
  'index.ts': [
    'check-node.ts',
    'django',
    'session',
    'engines/',
    'caches/',
    'type settings/cache-settings.ts',
    'caches/',
    'type settings/cache-settings.ts',
    'django',
    'session',
    'engines/',
    'web/',
    'auth/',
  ],
}

const src = new URL('../src/', import.meta.url)
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const sourceOf = (file: string): string => readFileSync(new URL(file, src), 'utf8')

for (const file of files) {
  test(`${file} imports along the arrows only`, (t) => {
    const allowed = ARROWS[Object.keys(ARROWS).find((start) => file.startsWith(start)) ?? '']
    t.truthy(allowed, 'the table of arrows has no line for it')
    const isAllowed = ({ from, isType }: Import) =>
      allowed?.some((arrow) => {
        if (arrow.startsWith('!')) return !from.startsWith(arrow.slice(1))
        return from.startsWith(arrow) || (isType && `type ${from}`.startsWith(arrow))
      })
    t.deepEqual(
      importsOf(file).filter((one) => isAllowed(one) !== true),
      [],
    )
  })
}

test('no file needs, at any remove, the file that needs it', (t) => {
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    t.false(path.includes(file), [...path, file].join(' → '))
    if (finished.has(file) || path.includes(file)) return
    for (const { from, isType } of importsOf(file))
      if (!isType && files.includes(from)) visit(from, [...path, file])
    finished.add(file)
  }
  for (const file of files) visit(file, [])
})

test('only the settings look at the environment, which the command line hands them', (t) => {
  const readers = files.filter((file) => /process\s*\.\s*env|import\.meta\.env/.test(sourceOf(file)))
  t.deepEqual(
    // A library user has no settings of ours: NODE_ENV alone says that they develop.
    readers.filter(
      (file) => file !== 'settings.ts' && file !== 'django-sessions.ts' && !file.startsWith('cli/'),
    ),
    [],
  )
  const callers = files.filter((file) => /(?<!function )\breadSettings\(/.test(sourceOf(file)))
  t.deepEqual(
    callers.filter((file) => !file.startsWith('cli/')),
    [],
  )
})

test('npm scripts run on the pinned Node', (t) => {
  const { optionalDependencies: pins } = JSON.parse(
    readFileSync(new URL('../tools/node/package.json', import.meta.url), 'utf8'),
  )
  const platform = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  t.is(process.version, `v${pins[`node-${platform}`] ?? pins[`node-bin-${platform}`]}`)
})

interface Import {
  /** A path under src/, or a package. */
  readonly from: string
  readonly isType: boolean
}

function importsOf(file: string): Import[] {
  const source = sourceOf(file)
  const statements = source.matchAll(
    /^(?:import|export)\s+(type\s+)?([{*\w][^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm,
  )
  const dynamic = source.matchAll(/\b(?:import|require)\(\s*['"]([^'"]+)['"]/g)
  return [
    ...[...statements].map(([, type, names = '', from = '']) => ({
      from,
      isType: type !== undefined || hasTypesOnly(names),
    })),
    ...[...dynamic].map(([, from = '']) => ({ from, isType: false })),
  ].map(({ from, isType }) => ({ from: from.startsWith('.') ? join(dirname(file), from) : from, isType }))
}

/** `{ type A, type B } from` */
function hasTypesOnly(names: string): boolean {
  const specifiers = /^\{(.*)\}/s
    .exec(names)?.[1]
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  return specifiers?.every((name) => name.startsWith('type ')) ?? false
}
