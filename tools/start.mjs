// The entry point of `npm start` and `npm run cli`. It is JavaScript, so that the compile cache is on before Node reads
// the first TypeScript file: the type stripper, a tenth of the start, need not be loaded then.
import module from 'node:module'
import { fileURLToPath } from 'node:url'

// The same check as in node-version.ts, which an older Node cannot load.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`koa-django-sessions needs Node 22.18 or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}

module.enableCompileCache?.(fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url)))
const { currentBundle } = await import('./start-record.ts')
await import(currentBundle() ?? (await newBundle()) ?? '../src/cli/main.ts')

/**
 * Null without esbuild, in a folder that is not writable, and if a source has an error: then the sources are run, and show
 * it.
 */
async function newBundle() {
  try {
    const { makeBundle } = await import('./start-bundle.ts')
    return await makeBundle()
  } catch {
    return null
  }
}
