/**
 * The service in a file of its own, for whoever runs it: Node needs a third less CPU for its start than where it loads
 * some 700 files. Native code stays outside, and what only some sites load.
 *
 *   node tools/bundle.ts dist/bundle     writes main.js there, two folders below the project, whose templates it reads
 */
import { rmSync } from 'node:fs'
import { build } from 'esbuild'

const [outdir = 'dist/bundle'] = process.argv.slice(2)

/** Knex's drivers that are not ours, and pg's optional one: required only where they are asked for. */
const ABSENT = ['mariadb', 'mysql', 'oracledb', 'pg-native', 'pg-query-stream', 'sqlite3', 'tedious']

/** For the packages that are CommonJS. */
const REQUIRE = `import { createRequire as createRequireOfBundle } from 'node:module'
const require = createRequireOfBundle(import.meta.url)`

rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: ['src/cli/main.ts'],
  outdir,
  bundle: true,
  splitting: true, // main.ts looks at Node's version before it loads the rest
  platform: 'node',
  format: 'esm',
  target: 'node22.18',
  keepNames: false, // what keeps them runs at every making of a function: 17 % more CPU for a request
  external: ['@node-rs/*', 'better-sqlite3', 'ioredis', ...ABSENT],
  banner: { js: REQUIRE },
  logLevel: 'warning',
})
