import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { djangoVersions, startCodec, startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { startService } from '../support/service.ts'
import { serviceEnvironment, startKoa } from './sites.ts'
import { createVisitor } from './visitor.ts'

const OLD = 'the key that goes, from the tests'
const NEW = 'the key that comes, from the tests'

/**
 * The keys of a site during a rotation: the first signs, all verify.
 * Source: Django's ticket 35400. Several processes never change at once, so all read the new key before any signs with it.
 */
const PHASES = {
  before: [OLD],
  prepared: [OLD, NEW],
  rotated: [NEW, OLD],
  done: [NEW],
} as const

type Phase = keyof typeof PHASES

/** The phase of each side, in order; the first side changes first. */
const STEPS: readonly [first: Phase, second: Phase][] = [
  ['before', 'before'],
  ['prepared', 'before'],
  ['prepared', 'prepared'],
  ['rotated', 'prepared'],
  ['rotated', 'rotated'],
  ['done', 'rotated'],
  ['done', 'done'],
]

const withFallbacks = djangoVersions.filter((version) => versionProfile(version).usesFallbackKeys)
const withoutFallbacks = djangoVersions.filter((version) => !versionProfile(version).usesFallbackKeys)

/** The key that signed the stored session. */
async function signedWith(databaseUrl: string, sessionKey: string | undefined): Promise<string | undefined> {
  const [row] = await runSql(databaseUrl, 'SELECT session_data FROM django_session WHERE session_key = ?', [
    sessionKey,
  ])
  const keys = [OLD, NEW] as const
  const codec = createSessionCodec({
    secretKeys: keys,
    profile: versionProfile('6.1'),
    now: () => new Date(),
  })
  return keys[codec.decode(String(row?.session_data)).keyIndex]
}

/** Django's site and ours in each phase, all on one database: a process that is restarted is another one here. */
async function startPhases(
  t: Scope,
  version: string,
  databaseUrl: string,
): Promise<Record<'django' | 'ours', Record<Phase, string>>> {
  const start = async (phase: Phase) => {
    const [key, ...fallbacks] = PHASES[phase]
    const list = JSON.stringify(fallbacks)
    const settings = { DJANGO_SECRET_KEY: key, DJANGO_SECRET_KEY_FALLBACKS: list }
    const [django, ours] = await Promise.all([
      startDjango(t, { version, secretKey: key, databaseUrl, settings: { SECRET_KEY_FALLBACKS: list } }),
      startService(t, { env: serviceEnvironment({ version, databaseUrl, settings }) }),
    ])
    return { django: django.url, ours: ours.url }
  }
  const sites = {
    before: await start('before'),
    prepared: await start('prepared'),
    rotated: await start('rotated'),
    done: await start('done'),
  }
  const of = (side: 'django' | 'ours') => ({
    before: sites.before[side],
    prepared: sites.prepared[side],
    rotated: sites.rotated[side],
    done: sites.done[side],
  })
  return { django: of('django'), ours: of('ours') }
}

for (const version of withFallbacks) {
  test.serial(
    `SECRET_KEY is rotated in two phases with Django ${version} in either order, and no visit is lost`,
    async (t) => {
      const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const sites = await startPhases(t, version, databaseUrl)
      for (const [leader, follower] of [
        ['django', 'ours'],
        ['ours', 'django'],
      ] as const) {
        const visitor = createVisitor()
        let visits = 0
        let sessionKey: string | undefined
        for (const [first, second] of STEPS) {
          // Each side reads its own session and that of the other.
          for (const [side, phase] of [
            [leader, first],
            [follower, second],
            [follower, second],
            [leader, first],
          ] as const) {
            visits += 1
            t.is(await visitor.visit(sites[side][phase]), visits, `${side} ${phase}`)
            sessionKey ??= visitor.cookie()
            t.is(visitor.cookie(), sessionKey)
            t.is(await signedWith(databaseUrl, sessionKey), PHASES[phase][0], `${side} ${phase}`)
          }
        }
      }
      t.is((await runSql(databaseUrl, 'SELECT session_key FROM django_session')).length, 2)
    },
  )

  test.serial(
    `a row under the old key of Django ${version} is signed with the new one by the next save, and not by reads`,
    async (t) => {
      const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const before = await startDjango(t, { version, secretKey: OLD, databaseUrl })
      const rotated = await startDjango(t, {
        version,
        secretKey: NEW,
        databaseUrl,
        settings: { SECRET_KEY_FALLBACKS: JSON.stringify([OLD]) },
      })
      const django = `${rotated.url}/_test/session`
      const ours = await startKoa(t, { databaseUrl, version, useTz: true, secretKeys: [NEW, OLD] })
      const row = (sessionKey: string | undefined) =>
        runSql(databaseUrl, 'SELECT * FROM django_session WHERE session_key = ?', [sessionKey])

      for (const [saver, other] of [
        [ours, django],
        [django, ours],
      ] as const) {
        const visitor = createVisitor()
        await visitor.fetch(`${before.url}/_test/session`, { method: 'POST', body: '{"cart":["a book"]}' })
        const old = await row(visitor.cookie())
        for (const site of [saver, other, saver]) {
          t.is(await (await visitor.fetch(site)).text(), '{"cart":["a book"]}')
          t.deepEqual(await row(visitor.cookie()), old)
        }
        await visitor.fetch(saver, { method: 'POST', body: '{"seen":1}' })
        t.is(await signedWith(databaseUrl, visitor.cookie()), NEW)
        t.is(await (await visitor.fetch(other)).text(), '{"cart":["a book"],"seen":1}')
      }
    },
  )

  test.serial(
    `a row that was not saved before the old key of Django ${version} was dropped is left alone`,
    async (t) => {
      const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const before = await startDjango(t, { version, secretKey: OLD, databaseUrl })
      const reasons: string[] = []
      const done = await startKoa(t, {
        databaseUrl,
        version,
        useTz: true,
        secretKeys: [NEW],
        events: { unreadable: (_, { reason }) => reasons.push(reason) },
      })
      const visitor = createVisitor()
      await visitor.fetch(`${before.url}/_test/session`, { method: 'POST', body: '{"cart":1}' })
      const sessionKey = visitor.cookie()
      const rows = await runSql(databaseUrl, 'SELECT * FROM django_session')
      t.is(await (await visitor.fetch(done, { method: 'POST', body: '{"seen":1}' })).text(), '{"seen":1}')
      t.deepEqual(reasons, ['signature'])
      t.not(visitor.cookie(), sessionKey)
      const after = await runSql(databaseUrl, 'SELECT * FROM django_session WHERE session_key = ?', [
        sessionKey,
      ])
      t.deepEqual(after, rows)
    },
  )
}

for (const version of withoutFallbacks) {
  test.serial(`neither Django ${version} nor ours reads a row signed with a fallback key`, async (t) => {
    const options = { profile: versionProfile(version), now: () => new Date() }
    const old = createSessionCodec({ ...options, secretKeys: [OLD] })
    const ours = createSessionCodec({ ...options, secretKeys: [NEW, OLD] })
    const settings = { SECRET_KEY_FALLBACKS: JSON.stringify([OLD]) }
    const django = await startCodec(t, { version, secretKey: NEW, settings })
    const row = old.encode(new Map([['num_visits', '41']]))
    t.is(await django.decode(row), '{}')
    t.throws(() => ours.decode(row), { code: 'ERR_SESSION_UNREADABLE' })
    t.is(await django.decode(ours.encode(new Map([['num_visits', '41']]))), '{"num_visits":41}')
  })
}
