// What `npm start` runs. It is JavaScript: by the time that Node reads a type, what it stripped last time is at hand,
// and its type stripper need not be loaded, which would take a tenth of the start.
import module from 'node:module'
import { fileURLToPath } from 'node:url'

// As node-version.ts has it, which an older Node cannot load.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`koa-django-sessions needs Node 22.18 or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}

module.enableCompileCache?.(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))
await import('./main.ts')
