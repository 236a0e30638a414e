/** Every cause planted on real Django, named first, and its verdicts compared with what both sides really do. */
import test, { type ExecutionContext } from 'ava'
import { CAUSES, type CauseId, type Outcome } from '../../../src/operations/explain/causes.ts'
import { createExplainer, type Explanation, hasProblem } from '../../../src/operations/explain.ts'
import { openProject, type Project } from '../../../src/operations/open-project.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { openDjangoSite } from '../../../src/site/django-site.ts'
import { createTestDatabase, type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { type DjangoPlanter, djangoVersions, startPlanter } from '../../support/django.ts'
import { ENGINES, PLANTINGS, type Planting } from './plantings.ts'

const secretKey = 'a key of the tests of explain, with $ and "'
const VERSIONS = ['2.2', '4.2', '5.2', '6.1'].filter((version) => djangoVersions.includes(version))
const NEEDED_BY_OTHERS = ['2.2', '5.2']

interface Site {
  readonly version: string
  readonly databaseUrl: string
  readonly planter: DjangoPlanter
}

/** How often each cause was planted, and how often it was named first. */
const counts = new Map<CauseId, { planted: number; first: number }>()

/** The site of this version, with a database of its own. */
async function openSite(t: ExecutionContext, version: string, database: TestDatabaseName): Promise<Site> {
  const isServer = database !== 'sqlite'
  const { url } = await createTestDatabase(t, database, { tables: isServer ? 'library' : 'none' })
  const planter = startPlanter(t, {
    version,
    secretKey,
    databaseUrl: url,
    // That package needs pkg_resources, which Python 3.12 and later no longer bring.
    settings: isServer || version === '6.1' ? {} : { EXTRA_APPS: '["user_sessions"]' },
  })
  if (!isServer)
    await planter.plant("call_command('migrate', run_syncdb=True, verbosity=0, interactive=False)")
  return { version, databaseUrl: url, planter }
}

function environment({ version, databaseUrl }: Site, { both = {}, ours = {} }: Partial<Planting>) {
  const shared = Object.entries(both).map(
    ([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const,
  )
  return {
    DATABASE_URL: databaseUrl,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: version,
    USE_TZ: 'True',
    TIME_ZONE: 'UTC',
    ...Object.fromEntries(shared),
    ...ours,
  }
}

async function withProject<R>(env: NodeJS.ProcessEnv, use: (project: Project) => Promise<R>): Promise<R> {
  const project = await openProject(readSettings(env, { cwd: '/' }))
  try {
    return await use(project)
  } finally {
    await project.close()
  }
}

async function explained(project: Project, header: string): Promise<Explanation> {
  const explainer = createExplainer(project)
  try {
    return await explainer.explain(header)
  } finally {
    await explainer.close()
  }
}

/** What the library does with this header. Saves only where `saves` asks for it. */
async function observedHere(project: Project, header: string, saves: boolean): Promise<Outcome> {
  const { session: settings, auth, timeZone, cache } = project.settings
  const { table, storeClass, filePath, ...session } = settings
  const site = openDjangoSite({
    ...session,
    db: project.sessionDb,
    ...(table !== null && { table }),
    ...(storeClass !== null && { storeClass }),
    ...(filePath !== null && { filePath }),
    ...(cache !== null && { cache }),
    secretKeys: project.secretKeys,
    djangoVersion: project.profile.version,
    useTz: project.useTz,
    timeZone,
    backends: auth.backends,
    sessionHash: auth.sessionHash,
    events: { unreadable() {} },
    onUnverified() {},
  })
  try {
    const request = site.open(Buffer.from(header).toString('latin1'))
    const session = await request.session.load()
    if (request.session.isUnreadable) return 'unreadable'
    if (session.sessionKey === null) return 'empty'
    if (session.has('_auth_user_id')) {
      const { user } = await site.auth.identify(session) // getUser would renew the hash of a fallback key.
      return user.isAuthenticated ? 'loads' : 'anonymous'
    }
    if (!saves) return 'loads'
    session.set('probe', 1)
    return await request.respond(200).then(
      () => 'loads' as const,
      () => 'fails-to-save' as const,
    )
  } finally {
    await site.close()
  }
}

async function plant(
  planting: Planting,
  { planter }: Site,
  others: ReadonlyMap<string, Site>,
): Promise<string> {
  const { first, code, both = {}, django = {}, made = {} } = planting
  const given =
    first === undefined ? null : await others.get(first.version)?.planter.plant(first.code, first.settings)
  return planter.plant(
    `given = ${JSON.stringify(given) === 'null' ? 'None' : JSON.stringify(given)}\n${code}`,
    {
      ...both,
      ...django,
      ...made,
    },
  )
}

async function meet(
  t: ExecutionContext,
  planting: Planting,
  { site, others }: { site: Site; others: ReadonlyMap<string, Site> },
): Promise<void> {
  const { cause, both = {}, django = {}, after } = planting
  const header = await plant(planting, site, others)
  await withProject(environment(site, planting), async (project) => {
    const found = await explained(project, `Cookie: ${header}`)
    const count = counts.get(cause) ?? { planted: 0, first: 0 }
    const isFirst = found.findings[0]?.cause === cause
    counts.set(cause, { planted: count.planted + 1, first: count.first + (isFirst ? 1 : 0) })
    const saves = cause === 'expiry-unreadable' || cause === 'expiry-time-zone'
    const here = await observedHere(project, header, saves)
    const atDjango = await site.planter.observe(header, { ...both, ...django })
    const key = header.replace(/^.*sessionid="?/, '')
    t.deepEqual(
      {
        cause: found.findings[0]?.cause,
        isNamed: found.summary.startsWith(CAUSES[cause].summary),
        isProblem: hasProblem(found),
        showsKey: key.length > 8 && JSON.stringify(found).includes(key),
        django: found.django,
        here: found.here,
      },
      {
        cause,
        isNamed: true,
        isProblem: CAUSES[cause].isProblem,
        showsKey: false,
        django: atDjango as Outcome,
        here,
      },
      `${cause} under Django ${site.version}: ${found.summary}`,
    )
  })
  if (after !== undefined) await site.planter.plant(after)
}

/** Sessions without a fault, in every engine; `both` as in a planting. */
const GOOD: readonly Pick<Planting, 'code' | 'both'>[] = [
  { code: 'result = header(saved(a=1))' },
  { code: 'result = header(logged_in(user(), cart=[1, 2]))' },
  { code: 'session = saved(a=1)\nsession.set_expiry(300)\nsession.save()\nresult = header(session)' },
  { code: 'session = saved(a=1)\nsession.set_expiry(0)\nsession.save()\nresult = header(session)' },
  ...[ENGINES.file, ENGINES.cache, ENGINES.cached_db, ENGINES.signed_cookies].map((both) => ({
    both,
    code: 'result = header(saved(a=1))',
  })),
  {
    both: { USE_TZ: false, TIME_ZONE: 'Asia/Seoul' },
    code: 'session = saved(a=1)\nsession.set_expiry(300)\nsession.save()\nresult = header(session)',
  },
]

/** Planted again where the place or the clock differs. */
const ELSEWHERE: readonly {
  readonly both: NonNullable<Planting['both']>
  readonly causes: readonly CauseId[]
}[] = [
  { both: { USE_TZ: false, TIME_ZONE: 'Asia/Seoul' }, causes: ['expired', 'wrong-key', 'password-changed'] },
  { both: ENGINES.cache, causes: ['not-there', 'key-too-short', 'password-changed', 'user-deleted'] },
  { both: ENGINES.file, causes: ['not-there', 'key-characters', 'wrong-key'] },
]

/** What any server must find, too. */
const ON_SERVERS: readonly CauseId[] = [
  'not-there',
  'expired',
  'wrong-key',
  'not-an-object',
  'password-changed',
]

async function meetGood(
  t: ExecutionContext,
  { code, both = {} }: Pick<Planting, 'code' | 'both'>,
  site: Site,
): Promise<void> {
  const header = await site.planter.plant(code, both)
  await withProject(environment(site, { both }), async (project) => {
    const { findings, django, here } = await explained(project, header)
    t.deepEqual([findings, django, here], [[], 'loads', 'loads'], `${code} ${JSON.stringify(both)}`)
    t.is(await observedHere(project, header, false), 'loads')
    t.is(await site.planter.observe(header, both), 'loads')
  })
}

for (const version of VERSIONS) {
  test.serial(`each cause on Django ${version} is named first, and the verdicts are true`, async (t) => {
    t.timeout(300_000)
    const others = new Map<string, Site>()
    for (const one of new Set([version, ...NEEDED_BY_OTHERS]))
      if (djangoVersions.includes(one)) others.set(one, await openSite(t, one, 'sqlite'))
    const site = others.get(version) as Site
    const plantings = PLANTINGS.filter(({ versions }) => versions.includes(version))
    for (const planting of plantings.filter(({ database = 'sqlite' }) => database === 'sqlite'))
      await meet(t, planting, { site, others })
    for (const { both, causes } of ELSEWHERE)
      for (const planting of plantings.filter(({ cause }) => causes.includes(cause)))
        await meet(t, { ...planting, both }, { site, others })
    for (const good of GOOD) await meetGood(t, good, site)
    const onServer = plantings.filter(({ database }) => database === 'mariadb')
    if (onServer.length === 0 || !testDatabases.includes('mariadb')) return
    const server = await openSite(t, version, 'mariadb')
    for (const planting of onServer) await meet(t, planting, { site: server, others })
  })
}

for (const database of testDatabases.filter((name) => name !== 'sqlite')) {
  test.serial(`the same is found on ${database}`, async (t) => {
    t.timeout(120_000)
    const site = await openSite(t, '5.2', database)
    const others = new Map([['5.2', site]])
    for (const cause of ON_SERVERS) {
      const planting = PLANTINGS.find((one) => one.cause === cause)
      if (planting !== undefined) await meet(t, planting, { site, others })
    }
    await meetGood(t, { code: 'result = header(logged_in(user(), a=1))' }, site)
  })
}

test.serial('at least 40 causes were planted, and at most one in 40 was not named first', (t) => {
  const named = [...counts.values()].filter(({ planted, first }) => planted === first)
  t.true(counts.size >= 40, String(counts.size))
  t.true(named.length >= (counts.size * 39) / 40, `${named.length} of ${counts.size}`)
})

test('every cause that is known is planted', (t) => {
  t.deepEqual(
    Object.keys(CAUSES).filter((id) => !PLANTINGS.some(({ cause }) => cause === id)),
    [],
  )
})
