import type { RequestListener } from 'node:http'
import test from 'ava'
import { createMetrics } from '../../../src/service/monitoring/metrics.ts'
import type { SessionWriter } from '../../../src/session/engine.ts'
import { traces } from '../../../src/session/tracing.ts'
import { createTestDatabase } from '../../support/databases.ts'
import type { Scope } from '../../support/file-scope.ts'
import { listen, recordLog } from '../../support/library.ts'
import { examined, siteEnvironment } from './examined.ts'

const BACKENDS = 'django.contrib.sessions.backends.'
const CACHES = JSON.stringify({
  default: { BACKEND: 'django.core.cache.backends.filebased.FileBasedCache', LOCATION: '/nowhere' },
})

/** The metrics of a service, whose saves meet saves of others. */
function openMetrics(t: Scope) {
  const metrics = createMetrics({
    version: '1.0.0',
    keyCount: 1,
    pool: () => ({ used: 0, free: 0, waiting: 0 }),
    clockSkew: async () => 0,
    log: recordLog(),
  })
  t.teardown(metrics.close)
  return metrics
}

const meet = (winner: SessionWriter) => traces.conflict.asyncEnd.publish({ result: winner })

/** What the check says of a site whose service answers with these metrics. */
async function said(t: Scope, listener: RequestListener, more: Readonly<Record<string, string>> = {}) {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const { hostname, port } = new URL(await listen(t, listener))
  const env = siteEnvironment(databaseUrl, { METRICS_HOST: hostname, METRICS_PORT: port, ...more })
  const findings = await examined(env, { tags: ['sessions'] })
  return findings.find(({ id }) => id === 'sessions.W030')?.result
}

test.serial(
  'the doctor recommends the engine that merges once a save here met a save of Django',
  async (t) => {
    const metrics = openMetrics(t)
    meet('here')
    meet('unknown')
    t.deepEqual(await said(t, metrics.listener), {
      outcome: 'ok',
      read: 'since its start, no save of the service met a save of Django',
    })
    meet('django')
    meet('django')
    t.deepEqual(await said(t, metrics.listener), {
      outcome: 'failed',
      read: 'since its start, 2 saves of the service found that Django had saved the session meanwhile, and merged; Django writes over what it finds',
      hint: 'set SESSION_ENGINE to merging_sessions.db in settings.py and here, after installing the Python package merging_sessions at the Django site',
    })
    const cached = await said(t, metrics.listener, { SESSION_ENGINE: `${BACKENDS}cached_db`, CACHES })
    t.regex(
      cached?.outcome === 'failed' ? cached.hint : '',
      /^set SESSION_ENGINE to merging_sessions\.cached_db /,
    )
  },
)

test.serial(
  'it says nothing where there is nothing to recommend, or no service of this site to ask',
  async (t) => {
    const metrics = openMetrics(t)
    meet('django')
    const because = async (more: Readonly<Record<string, string>>, listener = metrics.listener) => {
      const result = await said(t, listener, more)
      return result?.outcome === 'skipped' ? result.because : result?.outcome
    }
    t.is(await because({ SESSION_ENGINE: 'merging_sessions.db' }), 'Django has the engine that merges')
    t.is(
      await because({ SESSION_ENGINE: `${BACKENDS}signed_cookies` }),
      'there is no engine that merges for this one',
    )
    for (const env of [{ METRICS: 'False' }, { METRICS_PORT: '' }, { METRICS_PORT: '0' }])
      t.is(await because(env), 'METRICS_PORT is not set')
    const nobody = /^no service answers at http:\/\/127\.0\.0\.1:\d+\/metrics with its metrics$/
    t.regex((await because({}, (_request, response) => void response.end('hello'))) ?? '', nobody)
    t.regex((await because({}, (_request, response) => void response.writeHead(404).end())) ?? '', nobody)
    t.regex((await because({}, (request) => void request.socket.destroy())) ?? '', nobody)
    const large = 'django_session_conflicts_total{winner="django"} 1\n'.repeat(50_000)
    t.regex((await because({}, (_request, response) => void response.end(large))) ?? '', nobody)
    t.regex((await because({ METRICS_PORT: '1' })) ?? '', nobody)
  },
)
