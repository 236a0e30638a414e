import test, { type ExecutionContext } from 'ava'
import { createDiagnosis, type Problem } from '../../src/service/diagnosis.ts'
import { secretKey, serviceEnvironment, takeTurn } from '../interop/sites.ts'
import { createVisitor } from '../interop/visitor.ts'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import { recordLog } from '../support/library.ts'
import { startService } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Answer {
  readonly status: string
  readonly doctor?: { readonly outcome: string; readonly findings: readonly Record<string, string>[] }
}

async function ready(url: string, query = '?verbose'): Promise<Answer> {
  const response = await fetch(`${url}/health/ready${query}`)
  return (await response.json()) as Answer
}

/** What the doctor found, once it has run. */
async function diagnosisOf(t: ExecutionContext, url: string): Promise<NonNullable<Answer['doctor']>> {
  let doctor: Answer['doctor']
  await until('the doctor has run', async () => {
    const answer = await ready(url)
    t.is(answer.status, 'ready')
    doctor = answer.doctor
    return doctor?.outcome !== 'pending'
  })
  return doctor ?? { outcome: 'pending', findings: [] }
}

for (const name of testDatabases) {
  test(`the service runs the doctor after its start, and finds nothing at a healthy site on ${name}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, name, { tables: 'library' })
    const { url, log } = await startService(t, { env: serviceEnvironment({ version: '5.2', databaseUrl }) })
    t.deepEqual(await diagnosisOf(t, url), { outcome: 'ok', findings: [] })
    t.deepEqual(
      log().filter(({ event }) => event.startsWith('doctor.')),
      [],
    )
  })

  test(`a problem is logged with its id and what to do, and listed without names, on ${name}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, name, { tables: 'library' })
    const isMysql = name === 'mariadb' || name === 'mysql'
    await runSql(
      databaseUrl,
      `DROP INDEX django_session_expire_date_a5c62663${isMysql ? ' ON django_session' : ''}`,
    )
    const service = await startService(t, { env: serviceEnvironment({ version: '5.2', databaseUrl }) })
    t.like(await service.next('doctor.finding'), {
      id: 'database.W002',
      level: 'warning',
      read: 'no index of the table django_session begins with expire_date',
      hint: 'run CREATE INDEX django_session_expire_date ON django_session (expire_date)',
    })
    t.deepEqual(await diagnosisOf(t, service.url), {
      outcome: 'warning',
      findings: [{ id: 'database.W002', level: 'warning', title: 'expire_date has an index' }],
    })
    t.deepEqual(await ready(service.url, ''), { status: 'ready' })
    t.is(await service.stop(), 0)
  })
}

for (const version of djangoVersions.filter((one) => one !== '3.2'))
  test(`the doctor runs once more when the first session of Django ${version} appears`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'none' })
    const django = await startDjango(t, { version, secretKey, databaseUrl, migrate: true })
    const service = await startService(t, {
      env: {
        ...serviceEnvironment({ version, databaseUrl }),
        AUTHENTICATION_BACKENDS: 'django.contrib.auth.backends.RemoteUserBackend',
      },
    })
    // Sessions of this service alone say nothing about Django.
    const visitor = createVisitor()
    t.deepEqual([await visitor.visit(service.url), await visitor.visit(service.url)], [1, 2])
    t.is((await diagnosisOf(t, service.url)).outcome, 'ok')
    const people = JSON.stringify([{ username: 'ann', password: 'x' }])
    await fetch(`${django.url}/_test/people`, { method: 'POST', body: people })
    const ann = createVisitor()
    await ann.fetch(`${django.url}/_test/user`, { method: 'PUT', body: '{"username": "ann"}' })
    await ann.visit(service.url)
    const { id, level, read } = await service.next('doctor.finding')
    t.deepEqual([id, level], ['users.E004', 'error'])
    t.regex(String(read), /^all 1 sessions name django\.contrib\.auth\.backends\.ModelBackend$/)
    t.is((await diagnosisOf(t, service.url)).outcome, 'error')
    t.is((await ready(service.url)).status, 'ready', 'a finding does not take the service out of service')
  })

/** Its timers keep no process running, so that a test waits by timers of its own. */
async function logged(log: ReturnType<typeof recordLog>, event: string): Promise<Record<string, unknown>> {
  await until(event, () => log.events.some((one) => one.event === event))
  return log.next(event)
}

const problem: Problem = { id: 'database.E001', level: 'error', title: 'T', read: 'R', hint: 'H' }

test('each problem is logged once, and the report is of the latest run', async (t) => {
  const log = recordLog()
  const found: Problem[][] = [[problem, { ...problem, id: 'users.W001', level: 'warning' }], [problem], []]
  const reports: string[] = []
  const diagnosis = createDiagnosis({ log, delay: 0, diagnose: async () => found.shift() ?? [] })
  reports.push(diagnosis.report().outcome)
  for (const left of [2, 1, 0]) {
    diagnosis.schedule()
    await until('it has run', () => found.length === left)
    await new Promise(setImmediate)
    reports.push(diagnosis.report().outcome)
  }
  t.deepEqual(reports, ['pending', 'error', 'error', 'ok'])
  t.deepEqual(
    log.events.map(({ level, event, fields }) => [level, event, fields.id]),
    [
      ['error', 'doctor.finding', 'database.E001'],
      ['warn', 'doctor.finding', 'users.W001'],
    ],
  )
})

test('a doctor that fails is logged, without words of a driver, and nothing else happens', async (t) => {
  const log = recordLog()
  const diagnose = () => Promise.reject(Object.assign(new Error('a row'), { code: 'ER_DUP_ENTRY' }))
  const diagnosis = createDiagnosis({ log, delay: 0, diagnose })
  diagnosis.schedule()
  const fields = await logged(log, 'doctor.failed')
  t.is(fields.code, 'ER_DUP_ENTRY')
  t.false(JSON.stringify(fields).includes('a row'))
  t.deepEqual(diagnosis.report(), { outcome: 'pending', findings: [] })
})

test('a doctor that takes too long is told to end, and one of a service that stops is not heard', async (t) => {
  const log = recordLog()
  const signals: AbortSignal[] = []
  const diagnose = async (signal: AbortSignal) => {
    signals.push(signal)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    return [problem]
  }
  const slow = createDiagnosis({ log, delay: 0, timeout: 1, diagnose })
  slow.schedule()
  t.is((await logged(log, 'doctor.finding')).id, problem.id, 'what it found until then')

  const silent = recordLog()
  const stopping = createDiagnosis({ log: silent, delay: 0, diagnose })
  stopping.schedule()
  await until('it runs', () => signals.length === 2)
  stopping.schedule()
  stopping.stop()
  t.true(signals[1]?.aborted)
  stopping.schedule()
  // Timers of one length fire in their order.
  let isPast = false
  createDiagnosis({
    log,
    delay: 0,
    async diagnose() {
      isPast = true
      return []
    },
  }).schedule()
  await until('the time of a further run', () => isPast)
  t.deepEqual(silent.events, [])
  t.is(signals.length, 2)
})
