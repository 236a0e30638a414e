#!/usr/bin/env node
import { fileURLToPath } from 'node:url'

// Nothing else is imported before this check: on an older Node, better-sqlite3 does not fail, it crashes.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`koa-django-sessions needs Node 22.18 or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}

// What V8 and the type stripper made of the files at the last start: it halves what a start costs. Where that folder
// cannot be written, nothing is kept.
const { enableCompileCache, flushCompileCache } = await import('node:module')
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))

const { run } = await import('./program.ts')
await run(process.argv, process.env)
flushCompileCache()
