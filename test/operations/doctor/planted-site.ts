import { tmpdir } from 'node:os'
import { newSessionKey } from '../../../src/django/session-key.ts'
import { createDbEngine } from '../../../src/engines/db.ts'
import type { Check, Evidence } from '../../../src/operations/doctor/check.ts'
import { CHECKS } from '../../../src/operations/doctor/checks.ts'
import { examine, type Finding } from '../../../src/operations/doctor/examine.ts'
import { openProject, type Project } from '../../../src/operations/open-project.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase, runSql, type TestDatabaseName } from '../../support/databases.ts'
import { djangoShell, djangoVersions } from '../../support/django.ts'
import type { Scope } from '../../support/file-scope.ts'

export const secretKey = 'the key of the examined site: 비밀#$%'

/** The versions on which each fault is planted. */
export const versions: readonly string[] = djangoVersions.filter((version) => version !== '3.2')

/**
 * Names for scripts: `save(n, …)` makes n sessions as visits do, `ago(seconds)` runs a block at an earlier time, and
 * `log_in(name)` makes a user and a session in which that user is logged in.
 */
const SCRIPT = `
import contextlib, datetime, importlib, time
from unittest import mock
from django.conf import settings
from django.utils import timezone

def store():
    return importlib.import_module(settings.SESSION_ENGINE).SessionStore()

def save(count=1, expiry=None, **values):
    for at in range(count):
        session = store()
        session.update({'num_visits': at + 1, **values})
        if expiry is not None:
            session.set_expiry(expiry)
        session.save()
    return session

@contextlib.contextmanager
def ago(seconds):
    now, clock = timezone.now, time.time
    with mock.patch('django.utils.timezone.now', lambda: now() - datetime.timedelta(seconds=seconds)):
        with mock.patch('time.time', lambda: clock() - seconds):
            yield

def log_in(name, **values):
    from django.contrib.auth import get_user_model
    user = get_user_model().objects.create_user(name, password='secret')
    user.last_login = timezone.now()
    user.save()
    return save(_auth_user_id=str(user.pk), _auth_user_backend='django.contrib.auth.backends.ModelBackend',
        _auth_user_hash=user.get_session_auth_hash(), **values)
`

export interface PlantedSite {
  readonly url: string
  /** Runs a script at the Django site; settings of this site are the defaults. */
  django(script: string, settings?: Readonly<Record<string, string>>): Promise<string>
  /** Runs SQL on its database. */
  sql(statement: string): Promise<Record<string, unknown>[]>
  /** What the doctor finds with the right settings, but for these of ours; '' is unset. */
  examine(ours?: Readonly<Record<string, string>>, checks?: readonly Check[]): Promise<readonly Finding[]>
  /** Saves sessions as the service does, with these settings of ours. */
  saveHere(count: number, options?: { ours?: Readonly<Record<string, string>>; now?: Date }): Promise<void>
}

/** A Django site on a database of its own, whose migrations are those of its version. */
export async function plantSite(
  t: Scope,
  {
    version,
    database = 'sqlite',
    settings = {},
  }: { version: string; database?: TestDatabaseName; settings?: Readonly<Record<string, string>> },
): Promise<PlantedSite> {
  const { url } = await createTestDatabase(t, database, { tables: 'library' })
  if (version === '2.2')
    await runSql(url, "DELETE FROM django_migrations WHERE app = 'auth' AND name LIKE '0012%'")
  const { DEFAULT_HASHING_ALGORITHM = '', ...shared } = settings
  const env = (ours: Readonly<Record<string, string>>) => ({
    DATABASE_URL: url,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: version,
    USE_TZ: 'True',
    TIME_ZONE: 'UTC',
    DATABASE_TIMEOUT: '30',
    DEFAULT_HASHING_ALGORITHM,
    ...shared,
    ...ours,
  })
  const opened = async <R>(
    ours: Readonly<Record<string, string>>,
    use: (project: Project) => Promise<R>,
    now?: Date,
  ): Promise<R> => {
    const settings = readSettings(env(ours), { cwd: tmpdir() })
    const project = await openProject(settings, now === undefined ? {} : { now: () => now })
    try {
      return await use(project)
    } finally {
      await project.close()
    }
  }
  return {
    url,
    django: (script, other = {}) =>
      djangoShell(version, {
        env: { SECRET_KEY: secretKey, DATABASE_URL: url, ...settings, ...other },
        script: `${SCRIPT}\n${script}`,
      }),
    sql: (statement) => runSql(url, statement),
    examine: (ours = {}, checks = CHECKS) =>
      opened(ours, (project) => {
        const evidence: Evidence = { project, django: null, roundTrip: null, signal: null }
        return examine({ evidence, checks, tags: ['database', 'sessions'] })
      }),
    saveHere: (count, { ours = {}, now } = {}) =>
      opened(
        ours,
        async ({ sessionDb, codec, dates, table, settings: { session }, ...project }) => {
          const engine = createDbEngine({ db: sessionDb, codec, dates, ...(table !== null && { table }) })
          for (let at = 0; at < count; at += 1) {
            const end = project.now().getTime() + session.cookieAge * 1000
            // The microseconds tell who saved a row, unless all six digits are zeros.
            const expireDate = new Date(end % 1000 === 0 ? end + 1 : end)
            await engine.create(newSessionKey(), { data: new Map([['num_visits', '1']]), expireDate })
          }
        },
        now,
      ),
  }
}

/** Those that a person must act on, the first first. @throws for a check that broke, which would hide a problem. */
export function problems(findings: readonly Finding[]): Finding[] {
  for (const { id, result } of findings)
    if (result.outcome === 'skipped' && result.because.startsWith('it could not be checked'))
      throw new Error(`${id}: ${result.because}`)
  return findings.filter(({ result }) => result.outcome === 'failed')
}

/** `sessions.E010: what to do`, for the first problem; '' without one. */
export function firstNamed(findings: readonly Finding[]): string {
  const [first] = problems(findings)
  return first?.result.outcome === 'failed' ? `${first.id}: ${first.result.hint}` : ''
}
