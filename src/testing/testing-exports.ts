import '../checks/check-node.ts'

// koa-django-sessions/testing: for the tests of programs that use the library

export { createDjangoTablesForTests, DjangoTablesExist } from './django-tables.ts'
export { type ForgeSessionOptions, forgeSession, SessionNotForged } from './forge-session.ts'
export { createMemoryEngine, type MemoryEngine, type MemoryEngineOptions } from './memory-engine.ts'
