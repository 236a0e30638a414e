import { tmpdir } from 'node:os'
import test from 'ava'
import type { Result } from '../../../src/operations/doctor/check.ts'
import { DJANGO_CHECKS } from '../../../src/operations/doctor/django-settings.ts'
import { openProject } from '../../../src/operations/open-project.ts'
import type { SettingName } from '../../../src/service/settings/definitions.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase } from '../../support/databases.ts'
import type { Scope } from '../../support/file-scope.ts'
import { siteEnvironment } from './examined.ts'

/** What a check says of these settings here, and those that the Django project was taken over with. */
async function compared(
  t: Scope,
  id: string,
  { here, django }: Record<'here' | 'django', Readonly<Record<string, string>>>,
): Promise<Result | undefined> {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const read = (more: Readonly<Record<string, string>>) =>
    readSettings(siteEnvironment(url, more), { cwd: tmpdir() })
  const project = await openProject(read(here))
  t.teardown(() => project.close())
  const values = new Map(Object.entries(django) as [SettingName, string][])
  const answers = { settings: read(django), values, refused: [], warnings: [] }
  const check = DJANGO_CHECKS.find((one) => one.id === id)
  return check?.run({ project, django: answers, roundTrip: null, signal: null })
}

test('an engine that merges and its base in Django keep sessions in one place', async (t) => {
  const of = (here: string, django: string) =>
    compared(t, 'django.E005', { here: { SESSION_ENGINE: here }, django: { SESSION_ENGINE: django } })
  const BASE = 'django.contrib.sessions.backends.db'
  t.is((await of(BASE, 'merging_sessions.db'))?.outcome, 'ok')
  t.is((await of('merging_sessions.db', BASE))?.outcome, 'ok')
  t.is((await of('qsessions.backends.db', 'merging_sessions.db'))?.outcome, 'failed')
})

test('each policy of the Django project is set here, too; more policies here are none of its business', async (t) => {
  const of = (here: string, django: string) =>
    compared(t, 'django.W016', { here: { SESSION_MERGE: here }, django: { SESSION_MERGE: django } })
  const failed = await of('{"n": "last"}', '{"n": "add"}')
  t.deepEqual(failed, {
    outcome: 'failed',
    read: 'SESSION_MERGE is {"n":"last"} here and {"n":"add"} in Django',
    hint: 'set SESSION_MERGE={"n": "add"}; or run `koa-django-sessions init`',
  })
  t.is((await of('', '{"n": "add"}'))?.outcome, 'failed')
  t.is((await of('{"cart": "union", "n": "add"}', '{"n": "add"}'))?.outcome, 'ok')
  t.is((await of('{"cart": "union"}', ''))?.outcome, 'ok')
})
