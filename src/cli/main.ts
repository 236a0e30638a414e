#!/usr/bin/env node
// Nothing is imported before this check: on an older Node, better-sqlite3 does not fail, it crashes.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`koa-django-sessions needs Node 22.18 or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}

const { run } = await import('./program.ts')
await run(process.argv, process.env)
