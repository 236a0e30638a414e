import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { projectFolder } from '../support/places.ts'
import {
  freePorts,
  type RunningCommand,
  startCommand,
  startService,
  temporaryFolder,
} from '../support/service.ts'

const OTHER = 'a session that another key has signed'

/** A site whose sessions do not verify, so that a start on it fails. */
async function refusingSite(
  t: ExecutionContext,
  name: (typeof testDatabases)[number] = 'sqlite',
): Promise<Record<string, string>> {
  const { url } = await createTestDatabase(t, name, { tables: 'library' })
  await runSql(url, `INSERT INTO django_session VALUES ('${'k'.repeat(32)}', '${OTHER}', '2999-01-01')`)
  return {
    ...freePorts,
    DATABASE_TIMEOUT: '30',
    DATABASE_URL: url,
    DJANGO_SECRET_KEY: 'x',
    DJANGO_VERSION: '5.2',
    USE_TZ: 'True',
  }
}

/** Runs `serve` with a module that is loaded first. */
function startWith(
  t: ExecutionContext,
  source: string,
  env: Readonly<Record<string, string>>,
): RunningCommand {
  const file = join(temporaryFolder(t), 'first.mjs')
  writeFileSync(file, source)
  return startCommand(t, [join(projectFolder, 'src/cli/main.ts'), 'serve'], { main: `--import=${file}`, env })
}

for (const name of testDatabases) {
  test.serial(`a start that fails because of ${name} ends with 1, every time`, async (t) => {
    const env = await refusingSite(t, name)
    const commands = Array.from({ length: 4 }, () => startCommand(t, ['serve'], { env }))
    for (const command of commands) {
      t.is(await command.ended, 1)
      t.regex(command.stderr(), /^NoSessionVerifies: [^\n]*\n$/)
    }
  })
}

test.serial('a signal before the start fails does not make it a success', async (t) => {
  const env = await refusingSite(t)
  // The signal comes while the answer of the database is on its way, and stopping takes longer than failing.
  const source = `
    import { createRequire } from 'node:module'
    import { Server } from 'node:http'
    const listen = Server.prototype.listen
    Server.prototype.listen = function (...args) {
      this.once('listening', () => process.emit('SIGTERM', 'SIGTERM'))
      return listen.apply(this, args)
    }`
  const command = startWith(t, source, { ...env, SHUTDOWN_DELAY: '1' })
  t.is(await command.ended, 1)
  t.regex(command.stderr(), /^NoSessionVerifies: [^\n]*\n$/)
})

test.serial('an event loop that runs empty before the service is ready ends it with 1', async (t) => {
  const env = await refusingSite(t)
  // The server never reports that it listens, and does not keep the process alive.
  const source = `
    import { Server } from 'node:http'
    Server.prototype.listen = function () { return this }
    for (const name of ['setTimeout', 'setInterval']) {
      const start = globalThis[name]
      globalThis[name] = (...args) => start(...args).unref()
    }`
  const command = startWith(t, source, {
    ...env,
    DATABASE_TIMEOUT: '2',
    ALLOW_UNVERIFIED_SESSIONS: 'True',
  })
  t.is(await command.ended, 1)
})

test.serial('an event loop that runs empty does not count as a requested stop', async (t) => {
  const env = await refusingSite(t)
  const source = `
    import { Server } from 'node:http'
    const listen = Server.prototype.listen
    Server.prototype.listen = function (...args) {
      this.once('listening', () => setImmediate(() => process.emit('beforeExit', 0)))
      return listen.apply(this, args)
    }`
  const command = startWith(t, source, env)
  t.is(await command.ended, 1)
  t.regex(command.stderr(), /^NoSessionVerifies: [^\n]*\n$/)
})

test.serial('a stop that fails after a failed start hides neither the reason nor the status', async (t) => {
  const env = await refusingSite(t)
  for (const close of ['throw new Error("a stop that fails")', 'return this']) {
    const source = `
      import { Server } from 'node:http'
      Server.prototype.close = function () { ${close} }
      Server.prototype.closeAllConnections = function () { this.unref() }`
    const command = startWith(t, source, env)
    t.is(await command.ended, 1)
    t.regex(command.stderr(), /^NoSessionVerifies: [^\n]*\n$/)
  }
})

test.serial('an uncaught exception ends the service with 1, also while it starts', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  for (const thrown of ['throw new TypeError("uncaught")', 'Promise.reject(new TypeError("unhandled"))']) {
    const source = `
      import { Server } from 'node:http'
      const listen = Server.prototype.listen
      Server.prototype.listen = function (...args) {
        this.once('listening', () => setImmediate(() => { ${thrown} }))
        return listen.apply(this, args)
      }`
    const command = startWith(t, source, {
      ...freePorts,
      DATABASE_URL: `mysql://u@127.0.0.1:${port}/x`,
      DJANGO_SECRET_KEY: 'x',
    })
    t.is(await command.ended, 1)
    t.true(command.log().some(({ event, error }) => event === 'service.crashed' && error === 'TypeError'))
  }
})

test.serial('a requested stop ends with 0, before the service is ready and after', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = { DATABASE_URL: url, DJANGO_SECRET_KEY: 'x', DJANGO_VERSION: '5.2', USE_TZ: 'True' }
  t.is(await (await startService(t, { env })).stop(), 0)

  const waiting = startCommand(t, ['serve'], {
    env: { ...freePorts, DATABASE_URL: 'mysql://u@127.0.0.1:1/x', DJANGO_SECRET_KEY: 'x' },
  })
  await waiting.next('service.waiting')
  t.is(await waiting.stop(), 0)
  t.is(waiting.stderr(), '')
})
