import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../support/django.ts'
import { freePorts, startCommand, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const OLD_KEY = 'the key of the site before, in the tests'

for (const version of djangoVersions) {
  const { usesFallbackKeys, writes } = versionProfile(version)

  test(`SECRET_KEY of a Django ${version} site is rotated as in Django`, async (t) => {
    await takeTurn(t)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const visitor = createVisitor()
    visitor.setCookie(await createSession(version, { SECRET_KEY: OLD_KEY, DATABASE_URL: databaseUrl }))
    const before = await runSql(databaseUrl, 'SELECT session_data FROM django_session')
    const settings = {
      DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([OLD_KEY]),
      // Before 4.1 there are no fallback keys, so no signature matches.
      ALLOW_UNVERIFIED_SESSIONS: String(!usesFallbackKeys),
    }
    const ours = await startService(t, { env: serviceEnvironment({ version, databaseUrl, settings }) })
    t.is(await visitor.visit(ours.url), usesFallbackKeys ? 8 : 1)

    // Our row is signed with the new key.
    const django = await startDjango(t, { version, secretKey, databaseUrl })
    t.is(await visitor.visit(django.url), usesFallbackKeys ? 9 : 2)
    const rows = await runSql(databaseUrl, 'SELECT session_data FROM django_session')
    t.is(rows.length, usesFallbackKeys ? 1 : 2)
    t.is(
      rows.some((row) => row.session_data === before[0]?.session_data),
      !usesFallbackKeys,
    )
  })

  test(`with another key than Django ${version} the service does not start, unless allowed to, and overwrites no row`, async (t) => {
    await takeTurn(t)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const visitor = createVisitor()
    const sessionKey = await createSession(version, { SECRET_KEY: OLD_KEY, DATABASE_URL: databaseUrl })
    visitor.setCookie(sessionKey)
    const row = () => runSql(databaseUrl, 'SELECT * FROM django_session WHERE session_key = ?', [sessionKey])
    const before = await row()
    t.is(before.length, 1)

    const refused = startCommand(t, ['serve'], {
      env: { ...serviceEnvironment({ version, databaseUrl }), ...freePorts, NODE_OPTIONS: '--trace-exit' },
    })
    // Its log says by which signal it ended, and Node says which line of code ended it.
    t.is(await refused.ended, 1, `${refused.stdout()}${refused.stderr()}`)
    const [reason = ''] = refused.stderr().split(/^(?=\(node:\d+\) WARNING: Exited the environment )/m)
    t.regex(reason, /^NoSessionVerifies: none of the 1 most recent sessions verifies; DJANGO_SECRET_KEY is /)
    t.notRegex(reason, /\n./)

    const settings = { ALLOW_UNVERIFIED_SESSIONS: 'true' }
    const service = await startService(t, { env: serviceEnvironment({ version, databaseUrl, settings }) })
    t.is(await visitor.visit(service.url), 1)
    t.not(visitor.cookie(), sessionKey)
    t.is(await visitor.visit(service.url), 2)
    t.deepEqual(await row(), before)
    await service.next('session.unreadable') // The log may be later than the page.
    const warnings = service.log().filter(({ event }) => event === 'session.unreadable')
    t.is(warnings.length, 1)
    t.is(warnings[0]?.reason, 'signature')
  })

  test(`without DJANGO_VERSION, the session format is derived from the migrations of Django ${version}`, async (t) => {
    await takeTurn(t)
    const sites = { version, database: 'sqlite', migrate: true, env: { DJANGO_VERSION: '' } } as const
    const { django, ours, databaseUrl, service } = await startSites(t, sites)
    const visitor = createVisitor()
    for (const [at, site] of [ours, django, ours, django].entries()) t.is(await visitor.visit(site), at + 1)
    t.is(await visitor.visit(ours), 5)
    const [row] = await runSql(databaseUrl, 'SELECT session_data FROM django_session')
    const codec = createSessionCodec({
      secretKeys: [secretKey],
      profile: versionProfile(version),
      now: () => new Date(),
    })
    t.is(codec.decode(String(row?.session_data)).format, writes)
    t.like(await service.next('django.profile'), { given: false })
  })
}

/** Creates a session in which this Django has counted seven visits; returns its key. */
async function createSession(version: string, env: Record<string, string>): Promise<string> {
  const script = `
from django.contrib.sessions.backends.db import SessionStore
session = SessionStore()
session['num_visits'] = 7
session.save()
print(session.session_key)
`
  return (await djangoShell(version, { env, script })).trim()
}
