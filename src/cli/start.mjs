// What `npm start` runs. It is JavaScript: by the time that Node reads a type, what it stripped last time is at hand,
// and its type stripper need not be loaded, which would take a tenth of the start.
import module from 'node:module'
import { fileURLToPath } from 'node:url'

module.enableCompileCache?.(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))
await import('./main.ts')
