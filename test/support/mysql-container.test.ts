import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { runSql } from './databases.ts'
import { execute } from './executables.ts'
import { freePort } from './free-port.ts'
import { dockerAnswers, startMysqlContainer } from './mysql-container.ts'
import { projectFolder } from './places.ts'
import { startMysql } from './servers.ts'

test.serial('an engine that does not answer is none', async (t) => {
  const { DOCKER_HOST } = process.env
  t.teardown(() => {
    if (DOCKER_HOST === undefined) delete process.env.DOCKER_HOST
    else process.env.DOCKER_HOST = DOCKER_HOST
  })
  process.env.DOCKER_HOST = 'unix:///nowhere/docker.sock'
  t.false(await dockerAnswers())
})

// Only where a container engine runs: elsewhere `npm test` takes a MySQL without one.
if (await dockerAnswers()) {
  test('a container has the flags of a local server, survives its death, and leaves no volume', async (t) => {
    const server = await startMysqlContainer({ flags: ['--max-connections=77'], port: await freePort() })
    const { name } = server
    const url = `${server.url}/mysql`
    try {
      const [settings] = await runSql(url, 'SELECT @@max_connections AS connections')
      t.deepEqual(settings, { connections: 77 })
      await runSql(url, 'CREATE TABLE kept (id integer)')
      await runSql(url, 'INSERT INTO kept VALUES (7)')
      await server.kill()
      await t.throwsAsync(runSql(url, 'SELECT * FROM kept'))
      await server.restart()
      t.deepEqual(await runSql(url, 'SELECT * FROM kept'), [{ id: 7 }])
    } finally {
      const volumes = await inspect('container', name, '{{range .Mounts}}{{.Name}} {{end}}')
      await server.stop()
      t.not(volumes?.trim(), '')
      for (const volume of volumes?.trim().split(' ') ?? []) t.is(await inspect('volume', volume), null)
      t.is(await inspect('container', name), null)
    }
  })

  test('a container that ends at once says why', async (t) => {
    const flags = ['--no-such-option=1']
    await t.throwsAsync(startMysqlContainer({ flags, port: await freePort() }), {
      message: /no-such-option/,
    })
  })

  if (process.env.TEST_MYSQL === 'container') {
    test('the run that has its MySQL in a container gives it what a local one has', async (t) => {
      const server = await startMysql({ extraArguments: ['--super-read-only'] })
      t.teardown(() => server.stop())
      const [settings] = await runSql(
        `${server.url}/mysql`,
        'SELECT @@time_zone AS zone, @@log_bin AS log, @@max_connections AS connections, @@super_read_only AS locked',
      )
      t.deepEqual(settings, { zone: '+05:30', log: 0, connections: 500, locked: 1 })
    })
  }

  for (const wait of ['created', 'started'] as const) {
    test(`a signal right after the container was ${wait} leaves none behind`, async (t) => {
      const program = join(import.meta.dirname, 'run.ts')
      const run = spawn(process.execPath, [program, 'test/no-such.test.ts'], {
        cwd: projectFolder,
        env: { ...process.env, CI: '', TEST_SERVERS: '' },
        stdio: 'ignore',
      })
      const name = `koa-django-sessions-test-${run.pid}-`
      const states = wait === 'created' ? /./ : /running/
      while (!states.test(await containerStates(name))) await delay(20)
      run.kill('SIGINT')
      const [code] = await once(run, 'exit')
      t.is(code, 130)
      t.is(await containerStates(name), '')
    })
  }
}

/** The states of the containers whose name begins so; '' for none. */
async function containerStates(name: string): Promise<string> {
  const { stdout } = await execute('docker', [
    'ps',
    '-a',
    '--filter',
    `name=${name}`,
    '--format',
    '{{.State}}',
  ])
  return stdout.trim()
}

/** What Docker says of it; null when there is none. */
async function inspect(
  kind: 'container' | 'volume',
  name: string,
  format = '{{.Name}}',
): Promise<string | null> {
  return execute('docker', [kind, 'inspect', '-f', format, name]).then(
    ({ stdout }) => stdout,
    () => null,
  )
}
