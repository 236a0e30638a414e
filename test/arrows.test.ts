import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import test from 'ava'

/**
 * What may import what (docs/architecture.md). Each file under src/ is in the room with the longest name that its path
 * begins with; the room's list says how the path or the package of an import must begin. `type`: types only, which
 * vanish in JavaScript.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  // The library
  'index.ts': [
    'adapters/koa/',
    'auth/',
    'caches/',
    'checks/check-node.ts',
    'checks/optional-package.ts',
    'django/',
    'engines/',
    'http/',
    'session/',
    'site/',
    'type sql/',
    'sql/unusable-database.ts',
  ],
  'django/': ['django/', 'node:buffer', 'node:crypto', 'node:zlib', 'node:util'],
  'django/argon2.ts': ['checks/optional-package.ts', 'node:crypto', '@node-rs/argon2'],
  'django/password-hashers.ts': [
    'django/',
    'checks/optional-package.ts',
    'node:crypto',
    'node:util',
    '@node-rs/bcrypt',
  ],
  'django/pickle/': ['django/', 'node:buffer', 'node:util'],
  'checks/': ['checks/'],
  'concurrency/': ['concurrency/', 'node:'],
  'session/': ['session/', 'concurrency/', 'django/', 'node:'],
  'sql/': ['sql/', 'concurrency/', 'django/', 'type knex', 'node:'],
  'engines/': [
    'engines/',
    'session/engine.ts',
    'session/events.ts',
    'sql/',
    'concurrency/',
    'django/',
    'type caches/cache.ts',
    'type knex',
    'node:',
  ],
  'engines/open-engine.ts': [
    'engines/',
    'caches/open-cache.ts',
    'django/',
    'sql/dialect.ts',
    'sql/retry.ts',
    'type sql/',
    'type caches/',
    'session/tracing.ts',
    'type session/engine.ts',
    'type session/events.ts',
    'type knex',
    'node:',
  ],
  'caches/': ['caches/', 'sql/', 'concurrency/', 'checks/quoted.ts', 'django/', 'type knex', 'node:'],
  'caches/redis/': [
    'caches/',
    '!caches/memcached/',
    'checks/optional-package.ts',
    'concurrency/',
    'django/',
    'node:',
    'ioredis',
  ],
  'caches/memcached/': ['caches/', '!caches/redis/', 'checks/quoted.ts', 'concurrency/', 'django/', 'node:'],
  'auth/': ['auth/', 'session/', 'sql/', 'concurrency/', 'checks/quoted.ts', 'django/', 'type knex', 'node:'],
  'http/': ['http/', 'session/', 'django/', 'node:'],
  'http/form.ts': ['http/', 'django/forms.ts', 'node:'],
  // No SQL, but the one table of what a driver's error means, since a status follows from it.
  'http/statuses.ts': ['sql/driver-errors.ts'],
  'site/': [
    'site/',
    'auth/',
    'checks/',
    'concurrency/',
    'django/',
    'engines/',
    'http/',
    'session/',
    'sql/',
    'type caches/',
    'type knex',
    'node:crypto',
  ],
  'signing/': ['signing/', 'django/', 'checks/check-node.ts'],
  'testing/': [
    'testing/',
    'checks/',
    'site/check-database.ts',
    'site/user-sessions.ts',
    'sql/',
    'session/engine.ts',
    'type auth/',
    'type django/',
    'type site/',
  ],
  'adapters/': [
    'adapters/',
    '!adapters/koa/',
    'http/',
    'checks/',
    'type site/',
    'type auth/',
    'type session/',
    'type express',
    'type fastify',
    'node:',
  ],
  'adapters/fetch.ts': ['adapters/', 'http/', 'checks/', 'site/'],
  'adapters/koa/': [
    'adapters/koa/',
    'http/',
    'checks/',
    'auth/visitor.ts',
    'site/django-sessions.ts',
    'type site/',
    'type auth/',
    'type session/',
    'type koa',
  ],
  // The service
  'service/': [
    'service/',
    'adapters/koa/',
    'auth/',
    'caches/',
    'concurrency/',
    'django/',
    'engines/',
    'http/',
    'site/',
    'sql/',
    'type session/',
    'koa',
    'type knex',
    'node:',
  ],
  'service/settings/': [
    'service/settings/',
    'auth/backends.ts',
    'checks/quoted.ts',
    'django/',
    'session/merge-policies.ts',
    'type caches/cache-settings.ts',
    'node:',
  ],
  'service/database/': [
    'service/database/',
    'service/settings/',
    'checks/optional-package.ts',
    'sql/driver-errors.ts',
    'type django/',
    'knex',
    'type pg',
    'node:',
  ],
  'service/demo/': [
    'service/demo/',
    'service/database/',
    'type service/settings/',
    'django/',
    'knex',
    'node:',
  ],
  'service/monitoring/': [
    'service/monitoring/',
    'service/server/',
    'service/routing.ts',
    'type service/database/',
    'type service/settings/',
    'concurrency/',
    'django/',
    'type engines/',
    'type session/',
    'session/key-hash.ts',
    'session/tracing.ts',
    'type site/',
    'koa',
    'pino',
    'prom-client',
    'node:',
  ],
  'service/pages/': [
    'service/pages/',
    'service/package-folder.ts',
    'service/proxy/allowed-hosts.ts',
    'service/routing.ts',
    'type service/monitoring/log.ts',
    'service/monitoring/log.ts',
    'adapters/koa/',
    'type auth/',
    'auth/user.ts',
    'concurrency/',
    'django/',
    'http/',
    'type session/',
    'sql/',
    'type knex',
    'type koa',
    'koa',
    'nunjucks',
    'node:',
  ],
  'service/proxy/': [
    'service/proxy/',
    'concurrency/',
    'service/monitoring/',
    'service/server/',
    'service/routing.ts',
    'django/hosts.ts',
    'http/statuses.ts',
    'type koa',
    'node:',
  ],
  'service/server/': ['service/server/', 'concurrency/', 'type koa', 'helmet', 'node:'],
  // Not the pages, nor the server: what opens the databases of the settings, and says why it cannot.
  'operations/': [
    'operations/',
    'auth/',
    'caches/',
    'checks/',
    'concurrency/',
    'django/',
    'engines/',
    'http/',
    'session/',
    'site/',
    'sql/',
    'service/database/',
    'service/demo/',
    'service/open-storage.ts',
    'service/package-folder.ts',
    'service/preflight.ts',
    'service/proxy/upstream-connection.ts',
    'service/required-tables.ts',
    'service/server/node-http.ts',
    'service/settings/',
    'service/start-problem.ts',
    'service/start-retry.ts',
    'type knex',
    'node:',
  ],
  'cli/': [
    'cli/',
    'checks/',
    'operations/',
    'service/',
    'concurrency/',
    'django/',
    'type session/',
    'session/',
    'commander',
    'close-with-grace',
    'node:',
  ],
}

const src = new URL('../src/', import.meta.url)
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const sourceOf = (file: string): string => readFileSync(new URL(file, src), 'utf8')

for (const file of files) {
  test(`${file} imports along the arrows only`, (t) => {
    const room = roomOf(file)
    t.truthy(room, 'docs/architecture.md and the table of arrows have no room for it')
    const arrows = ARROWS[room ?? ''] ?? []
    const refused = arrows.filter((arrow) => arrow.startsWith('!')).map((arrow) => arrow.slice(1))
    const isAllowed = ({ from, isType }: Import) =>
      !refused.some((start) => from.startsWith(start)) &&
      arrows.some((arrow) => from.startsWith(arrow) || (isType && `type ${from}`.startsWith(arrow)))
    t.deepEqual(
      importsOf(file).filter((one) => !isAllowed(one)),
      [],
    )
  })
}

test('there are no import cycles, not of types either', (t) => {
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    t.false(path.includes(file), [...path, file].join(' → '))
    if (finished.has(file) || path.includes(file)) return
    for (const { from } of importsOf(file)) if (files.includes(from)) visit(from, [...path, file])
    finished.add(file)
  }
  for (const file of files) visit(file, [])
})

/** Names of two files, which are halves of one thing: Django's rules or the framework's part of it. */
const HALVES: readonly (readonly string[])[] = [
  ['adapters/koa/auth.ts', 'auth/auth.ts'],
  ['adapters/koa/csrf.ts', 'django/csrf.ts', 'http/csrf.ts'],
  ['adapters/koa/django-sessions.ts', 'site/django-sessions.ts'],
  ['adapters/koa/form.ts', 'http/form.ts'],
  ['adapters/koa/messages.ts', 'django/messages.ts', 'http/messages.ts'],
  ['caches/cache.ts', 'engines/cache.ts'],
]

/** A command and its operation are halves of one thing, too. */
const isCommand = (file: string): boolean =>
  file.startsWith('cli/') && files.includes(`operations/${basename(file)}`)

test('no two unrelated files share a name', (t) => {
  const byName = Map.groupBy(
    files.filter((file) => !isCommand(file)),
    (file) => basename(file),
  )
  t.deepEqual(
    [...byName.values()]
      .filter(({ length }) => length > 1)
      .map((group) => [...group].sort())
      .sort((a, b) => (String(a) < String(b) ? -1 : 1)),
    HALVES,
  )
})

/** Lines of code: neither blank, nor a comment, nor an import. */
function codeLines(text: string): number {
  const code = text.replace(/^(import|export) [^;'=]*'[^']*'$/gm, '')
  return code.split('\n').filter((line) => !/^\s*(\/\/|\/?\*|$)/.test(line)).length
}

test('an adapter is thin: no file has 40 lines of code; nor has one of an example', (t) => {
  // The requests of Node and of the Web are shared by several frameworks.
  const shared = ['adapters/node-request.ts', 'adapters/fetch-request.ts']
  const adapters = files.filter((file) => file.startsWith('adapters/') && !shared.includes(file))
  const examples = readdirSync(new URL('../examples/', src), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !name.includes('node_modules'))
    .map((name) => `../examples/${name}`)
  t.true(adapters.length > 10 && examples.length > 10)
  for (const file of [...adapters, ...examples]) {
    const length = codeLines(sourceOf(file))
    t.true(length < 40, `${file} has ${length} lines of code`)
  }
})

test('src has no loose file but its public door', (t) => {
  t.deepEqual(
    files.filter((file) => !file.includes('/')),
    ['index.ts'],
  )
})

test('only the settings read the environment, which the command line passes to them', (t) => {
  const readers = files.filter((file) => /process\s*\.\s*env|import\.meta\.env/.test(sourceOf(file)))
  t.deepEqual(
    // The library has no settings; only NODE_ENV shows a development environment.
    readers.filter(
      (file) =>
        file !== 'site/django-sessions.ts' &&
        !file.startsWith('service/settings/') &&
        !file.startsWith('cli/'),
    ),
    [],
  )
  const callers = files.filter((file) => /(?<!function )\breadSettings\(/.test(sourceOf(file)))
  t.deepEqual(
    callers.filter((file) => !file.startsWith('cli/')),
    [],
  )
})

test('the monotonic clock is handed in: performance.now is only the default of a parameter', (t) => {
  const isDefault = /\bmonotonic = \(\) => performance\.now\(\)(?=[,\s}])/g
  const callers = files.filter((file) => /\bperformance\b/.test(sourceOf(file).replace(isDefault, '')))
  t.deepEqual(callers, [])
})

test('npm scripts run on the pinned Node', (t) => {
  const { optionalDependencies: pins } = JSON.parse(
    readFileSync(new URL('../tools/node/package.json', import.meta.url), 'utf8'),
  )
  const platform = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  t.is(process.version, `v${pins[`node-${platform}`] ?? pins[`node-bin-${platform}`]}`)
})

/** The room with the longest name that the path begins with. */
function roomOf(file: string): string | undefined {
  return Object.keys(ARROWS)
    .filter((room) => file.startsWith(room))
    .sort((a, b) => b.length - a.length)[0]
}

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
