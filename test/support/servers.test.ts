import test from 'ava'
import { runSql, testDatabases } from './databases.ts'
import { startMariadb, startMysql, startPostgresql } from './servers.ts'

const starts = { mariadb: startMariadb, mysql: startMysql, postgresql: startPostgresql }

for (const name of testDatabases) {
  if (name === 'sqlite') continue
  test(`a ${name} server of the test's own dies, and comes back with what it stored`, async (t) => {
    const server = await starts[name]()
    t.teardown(() => server.stop())
    const url = `${server.url}/${name === 'postgresql' ? 'postgres' : 'mysql'}`
    await runSql(url, 'CREATE TABLE kept (id integer)')
    await runSql(url, 'INSERT INTO kept VALUES (7)')
    const pid = 'pid' in server ? Number(server.pid) : null

    await server.kill()
    if (pid !== null) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    await t.throwsAsync(runSql(url, 'SELECT * FROM kept'))

    await server.restart()
    t.deepEqual(await runSql(url, 'SELECT * FROM kept'), [{ id: 7 }])
  })
}
