/**
 * `npm run demo`: LocalLibrary by Node and by Django at one address, on the SQLite file and with the secret key of the
 * embedded demo. Django comes from PyPI once, into DEMO_CACHE (.cache/demo); DEMO_PYTHON names a Python that has it already.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { run } from '../../src/cli/program.ts'
import { ensureDemoDatabase } from '../../src/service/demo/demo-database.ts'
import { demoSecretKey } from '../../src/service/demo/secret.ts'
import { SETTINGS } from '../../src/service/settings/definitions.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import { DemoProblem, findDjango } from './django-environment.ts'
import { startDjango } from './django-process.ts'

const say = (text: string) => console.log(`demo: ${text}`)

try {
  await demo()
} catch (error) {
  if (!(error instanceof Error && (error instanceof DemoProblem || 'code' in error))) throw error
  console.error(`demo: ${error.message}`)
  process.exit(2)
}

async function demo(): Promise<void> {
  // Neither the environment nor a .env file sets up another site here: a variable that is empty counts as not set.
  const env: NodeJS.ProcessEnv = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, '']))
  const { database } = readSettings(env)
  if (database.kind !== 'sqlite') throw new DemoProblem('the embedded demo is not on SQLite')
  const { python, version } = await findDjango(say)
  const { users } = await ensureDemoDatabase(database.filename)
  demoSecretKey(database.filename)
  const upstream = await startDjango(python, { database: database.filename })
  await run([process.execPath, 'demo', 'serve'], {
    ...env,
    PORT: process.env.PORT || String(await freePort(Number(SETTINGS.PORT.default))),
    DJANGO_UPSTREAM: upstream,
    DJANGO_VERSION: version,
    USE_TZ: 'True',
    TIME_ZONE: 'UTC',
    SERVE_LOGIN: 'True',
    METRICS: 'False',
    LOG_LEVEL: process.env.LOG_LEVEL || 'warn',
  })
  const logins = users.map(({ username, password }) => `${username} / ${password}`).join(' or ')
  console.log(`  Node serves this page and the login. Django ${version} serves all other pages, also its own home page and /admin/, on the
  same file. The footer of each page links both home pages: reload on either side, and see one count.
  ${logins === '' ? 'Log in' : `Log in as ${logins}`}, and the other side knows you. Ctrl-C stops both.
`)
}

/** This port, or any free one where another program has it. */
async function freePort(wanted: number): Promise<number> {
  const host = '127.0.0.1'
  for (const port of [wanted, 0]) {
    const server = createServer().listen(port, host)
    try {
      await once(server, 'listening')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
        say(`another program has port ${port}: this demo takes a free one (PORT names another)`)
        continue
      }
      throw error
    }
    const address = server.address()
    server.close()
    await once(server, 'close')
    if (typeof address === 'object' && address !== null) return address.port
  }
  throw new DemoProblem('no port is free')
}
