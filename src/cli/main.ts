#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { nodeProblem } from '../checks/node-version.ts'

// Nothing else is imported before this check: on an older Node, better-sqlite3 does not fail, it crashes.
const problem = nodeProblem()
if (problem !== null) {
  console.error(problem)
  process.exit(1)
}

// The code compiled at the last start, which halves the CPU time of a start. If the folder is not writable, nothing is
// cached.
const { enableCompileCache, flushCompileCache } = await import('node:module')
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))

const { run } = await import('./program.ts')
await run(process.argv, process.env)
flushCompileCache()
