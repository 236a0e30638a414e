/**
 * Bundles the service into one file for production: starting it takes a third less CPU than loading some 700 files.
 * Native code and packages that only some sites load stay outside.
 *
 *   node tools/bundle.ts dist/bundle     writes main.js there; it reads the project's templates, two folders above
 */
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const [outdir = 'dist/bundle'] = process.argv.slice(2)

/** Drivers of Knex that are not used here, and an optional package of pg. They are loaded only on demand. */
const ABSENT = ['mariadb', 'mysql', 'oracledb', 'pg-native', 'pg-query-stream', 'sqlite3', 'tedious']

/** `require` for CommonJS packages. */
const REQUIRE = `import { createRequire as createRequireOfBundle } from 'node:module'
const require = createRequireOfBundle(import.meta.url)`

rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: ['src/cli/main.ts'],
  outdir,
  bundle: true,
  splitting: true, // main.ts checks Node's version before it loads the rest
  platform: 'node',
  format: 'esm',
  target: 'node22.18',
  keepNames: false, // keeping them runs code whenever a function is created: 17 % more CPU per request
  external: ['@node-rs/*', 'better-sqlite3', 'ioredis', ...ABSENT],
  banner: { js: REQUIRE },
  logLevel: 'warning',
})
// `init` runs it by the Python of a Django project.
copyFileSync('src/operations/import-settings/ask_django.py', join(outdir, 'ask_django.py'))
