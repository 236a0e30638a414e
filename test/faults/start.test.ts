import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { testDatabases } from '../support/databases.ts'
import { visitHome } from '../support/load.ts'
import { type Backend, type ServerName, startBackend, startService } from './site.ts'

interface Absence {
  readonly title: string
  begin(backend: Backend): Promise<() => unknown>
}

const absences: readonly Absence[] = [
  {
    title: 'refuses connections',
    async begin(backend) {
      await backend.crash()
      return () => backend.restart()
    },
  },
  {
    title: 'accepts connections but never answers',
    async begin(backend) {
      backend.freeze()
      return () => backend.thaw()
    },
  },
]

for (const name of ['mariadb', 'postgresql'] as const satisfies readonly ServerName[]) {
  if (!testDatabases.includes(name)) continue
  for (const { title, begin } of absences) {
    test.serial(
      `a service started while ${name} ${title} keeps running, and is ready when ${name} is`,
      async (t) => {
        const backend = await startBackend(t, name)
        const end = await begin(backend)
        const service = await startService(t, backend.databaseUrl)
        const statusOf = async (path: string) => (await fetch(`${service.url}${path}`)).status

        for (let times = 0; times < 3; times += 1) {
          t.is(await statusOf('/health/live'), 200)
          t.is(await statusOf('/health/ready'), 503)
          const visit = await visitHome(service.url)
          t.is(visit.status, 503)
          t.true(Number(visit.retryAfter) > 0)
          await delay(1000) // Meanwhile the service has tried to reach the server again.
        }
        t.true(service.isRunning)

        await end()
        await service.next('service.ready')
        t.is(await statusOf('/health/ready'), 200)
        t.is((await visitHome(service.url)).shown, 1)
      },
    )
  }

  test.serial(`a service that still waits for ${name} exits with 0 at SIGTERM`, async (t) => {
    const backend = await startBackend(t, name)
    backend.freeze()
    const service = await startService(t, backend.databaseUrl)
    t.is((await fetch(`${service.url}/health/ready`)).status, 503)
    t.is(await service.stop(), 0)
  })
}
