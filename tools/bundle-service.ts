import type { BuildOptions } from 'esbuild'

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
  metafile: true,
} satisfies BuildOptions
