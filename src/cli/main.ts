#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { nodeProblem } from '../checks/node-version.ts'

// Nothing else is imported before this check: on an older Node, better-sqlite3 does not fail, it crashes.
const problem = nodeProblem()
if (problem !== null) {
  console.error(problem)
  process.exit(1)
}

// What V8 and the type stripper made of the files at the last start: it halves what a start costs. Where that folder
// cannot be written, nothing is kept.
const { enableCompileCache, flushCompileCache } = await import('node:module')
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))

const { run } = await import('./program.ts')
await run(process.argv, process.env)
flushCompileCache()
