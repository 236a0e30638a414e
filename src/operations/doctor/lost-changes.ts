import { baseEngineOf, SESSION_ENGINES } from '../../django/session-engines.ts'
import type { Settings } from '../../service/settings/settings.ts'
import { type Check, type Evidence, failed, ok, type Result, skipped } from './check.ts'
import { ownHost } from './django-pages.ts'
import { createPageClient, isNoAnswer, LARGEST_BODY } from './page-client.ts'

/** Whether Django and this service save the same sessions at once, so that Django's own engine loses changes. */
export const LOST_CHANGE_CHECKS: readonly Check[] = [
  {
    id: 'sessions.W030',
    title: 'Django does not write over changes that were saved here',
    meaning:
      "Asks the running service, by its metrics, how often a save found that Django had saved the session first. Such a save is merged. In the opposite order, Django's own engine writes over the change that was saved here, and nothing can count that. The check is skipped without `METRICS_PORT`, where no service answers there, and with an engine that merges.",
    remedy:
      'Use the session engine for Django that merges, on both sides: [Two requests at once](concurrency.md#the-engine-for-django-that-merges).',
    after: ['sessions.E001'],
    isCheap: false,
    run: savesAtOnce,
  },
]

async function savesAtOnce({ project, django }: Evidence): Promise<Result> {
  const { engine } = (django?.settings ?? project.settings).session
  if (engine !== baseEngineOf(engine)) return skipped('Django has the engine that merges')
  const merging = [...SESSION_ENGINES.keys()].find((one) => one !== engine && baseEngineOf(one) === engine)
  if (merging === undefined) return skipped('there is no engine that merges for this one')
  const url = metricsOrigin(project.settings)
  // At the default port, the service of another site may answer.
  if (url === null) return skipped('METRICS_PORT is not set')
  const text = await readMetrics(url, project.settings.database.timeout * 1000 + SCRAPE)
  const [, count] = /^django_session_conflicts_total\{winner="django"\} (\d+)$/m.exec(text ?? '') ?? []
  if (count === undefined) return skipped(`no service answers at ${url}/metrics with its metrics`)
  if (count === '0') return ok('since its start, no save of the service met a save of Django')
  return failed(
    `since its start, ${count} ${count === '1' ? 'save' : 'saves'} of the service found that Django had saved the session meanwhile, and merged; Django writes over what it finds`,
    `set SESSION_ENGINE to ${merging} in settings.py and here, after installing the Python package merging_sessions at the Django site`,
  )
}

function metricsOrigin({ metrics }: Pick<Settings, 'metrics'>): string | null {
  if (metrics === null || !metrics.isPortGiven || metrics.port === 0) return null
  return `http://${ownHost(metrics.host)}:${metrics.port}`
}

/** Milliseconds that a scrape waits for the database at most. */
const SCRAPE = 1000

/** The text of the metrics; null where none comes, or where it is too large. */
async function readMetrics(url: string, timeout: number): Promise<string | null> {
  try {
    const { status, body } = await createPageClient({ url, ca: null, timeout }).get('/metrics', {})
    return status === 200 && body.length < LARGEST_BODY ? body : null
  } catch (error) {
    if (isNoAnswer(error)) return null
    throw error
  }
}
