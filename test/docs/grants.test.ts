/** docs/databases.md shows the rights that the service needs: a user with them, and no others, does for all of it. */
import { randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { newSessionKey } from '../../src/django/session-key.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { hashed } from '../auth/users.ts'
import { logIn, logOut, PASSWORD } from '../interop/upstream-site.ts'
import { createVisitor } from '../interop/visitor.ts'
import {
  createTestDatabase,
  runScript,
  runSql,
  type TestDatabase,
  testDatabases,
} from '../support/databases.ts'
import { freePorts, runCommand, startService } from '../support/service.ts'
import { blocksOf, readPage } from './pages.ts'

const servers = testDatabases.filter((name) => name !== 'sqlite')
const blocks = blocksOf(readPage('docs/databases.md'))

/** Each right with its table. */
const NEEDED = [
  ...['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map((right) => `${right} django_session`),
  ...['django_migrations', 'catalog_book', 'catalog_bookinstance', 'catalog_author'].map(selectFrom),
  ...['auth_user', 'auth_permission', 'auth_group_permissions', 'auth_user_groups'].map(selectFrom),
  ...['auth_user_user_permissions', 'django_content_type'].map(selectFrom),
  'UPDATE (last_login) auth_user',
]

/** No statement of today asks it, but Django's own queries for permissions do. */
const ALSO_SHOWN: readonly string[] = ['SELECT auth_group']

/** Of each kind of table one right whose absence ends the start, with what the message says. */
const ENDS_THE_START: Readonly<Record<string, RegExp>> = {
  'INSERT django_session': /^MissingRight: .* may not INSERT in the table django_session\b.*run GRANT /,
  'SELECT catalog_bookinstance':
    /^MissingRight: .* may not SELECT in the table catalog_bookinstance\b.*run GRANT /,
  'UPDATE (last_login) auth_user': /^MissingRight: .* may not UPDATE in the table auth_user\b.*run GRANT /,
  'SELECT django_migrations': /^UnknownVersion: .*\bdjango_migrations\b.*run GRANT SELECT/,
}

for (const name of servers) {
  test.serial(`with the rights that the page shows, the service does all its work on ${name}`, async (t) => {
    t.timeout(120_000)
    const site = await createSite(t, name)
    const service = await startService(t, { env: environment(site.url) })

    // A session of this service's own, and one that Django made.
    const visitor = createVisitor()
    t.deepEqual([await visitor.visit(service.url), await visitor.visit(service.url)], [1, 2])
    const reader = createVisitor()
    reader.setCookie(await addDjangoSession(site.admin))
    t.is(await reader.visit(service.url), 6)

    t.is(await logIn(reader, service.url, { next: '/catalog/' }), '/catalog/')
    const page = await (await reader.fetch(`${service.url}/catalog/`)).text()
    t.regex(page, /User: <strong>reader</)
    t.regex(page, /All borrowed/, 'by a permission of the user’s group')
    const [user] = await runSql(site.admin, 'SELECT last_login FROM auth_user')
    t.truthy(user?.last_login)
    t.is(await logOut(reader, `${service.url}/catalog/`), 200)
    t.is(reader.cookie(), undefined)
    t.is((await fetch(`${service.url}/health/ready`)).status, 200)
    t.deepEqual(
      service.log().filter(({ event }) => event === 'http.failure' || event === 'health.unavailable'),
      [],
    )
    t.is(await service.stop(), 0)
  })

  test.serial(`on ${name} the page shows each right that is needed, and no others`, async (t) => {
    const site = await createSite(t, name)
    const shown = rightsOf(site.script)
    t.deepEqual(
      NEEDED.filter((right) => !shown.includes(right)),
      [],
    )
    t.deepEqual(
      shown.filter((right) => !NEEDED.includes(right) && !ALSO_SHOWN.includes(right)),
      [],
    )

    for (const [right, message] of Object.entries(ENDS_THE_START)) {
      await runScript(site.admin, `REVOKE ${onTable(right)} FROM ${site.account}`)
      const { status, stderr } = await runCommand(t, ['serve'], { env: environment(site.url) })
      t.is(status, 1, right)
      t.regex(stderr, message)
      t.notRegex(stderr, /^\s+at /m)
      await runScript(site.admin, `GRANT ${onTable(right)} TO ${site.account}`)
    }
  })

  test.serial(
    `on ${name} a permission table without its right is an error page, and its code is logged`,
    async (t) => {
      const site = await createSite(t, name)
      await runScript(site.admin, `REVOKE SELECT ON auth_user_groups FROM ${site.account}`)
      const service = await startService(t, { env: environment(site.url) })
      const reader = createVisitor()
      t.is(await logIn(reader, service.url, { next: '/catalog/' }), '/catalog/')
      const response = await reader.fetch(`${service.url}/catalog/`)
      const page = await response.text()
      t.is(response.status, 500)
      t.notRegex(page, /auth_user_groups|^\s+at /m)
      const { code, cause } = await service.next('http.failure')
      const denied = name === 'postgresql' ? '42501' : 'ER_TABLEACCESS_DENIED_ERROR'
      t.true([code, (cause as { code?: unknown } | undefined)?.code].includes(denied))
    },
  )
}

interface Site {
  /** The block of the page, for this database and a user of the test's own. */
  readonly script: string
  /** As GRANT takes it. */
  readonly account: string
  /** For the user of the page. */
  readonly url: string
  readonly admin: string
}

/** LocalLibrary with a user `reader`, and a database user with the rights that the page shows. */
async function createSite(t: ExecutionContext, name: (typeof servers)[number]): Promise<Site> {
  const database = await createTestDatabase(t, name, { tables: 'library' })
  await addReader(database.url)
  const user = `bridge_${randomBytes(5).toString('hex')}`
  const isPostgresql = name === 'postgresql'
  const account = isPostgresql ? user : `'${user}'@'127.0.0.1'`
  const script = scriptFor(database, user)
  await runScript(
    database.url,
    isPostgresql
      ? `CREATE ROLE ${account} LOGIN PASSWORD '${PASSWORD}'`
      : `CREATE USER ${account} IDENTIFIED BY '${PASSWORD}'`,
  )
  await runScript(database.url, script)
  t.teardown(() =>
    runScript(
      database.url,
      isPostgresql ? `DROP OWNED BY ${user}; DROP ROLE ${user}` : `DROP USER ${account}`,
    ),
  )
  const url = database.url.replace(/\/\/[^@]*@/, `//${user}:${encodeURIComponent(PASSWORD)}@`)
  return { script, account, url, admin: database.url }
}

/** The page's block, with the names of the database, of the user and of the host that are the test's. */
function scriptFor({ kind, url }: TestDatabase, user: string): string {
  const [block, ...others] = blocks.filter(({ language }) => language === `sql ${kind}`)
  if (block === undefined || others.length > 0)
    throw new Error(
      `docs/databases.md has not one block \`\`\`sql ${kind} with the rights of the user bridge`,
    )
  return block.text
    .replace(/\blibrary\b/g, new URL(url).pathname.slice(1))
    .replace(/\bbridge\b/g, user)
    .replace(/(?<=@)(?:'[^']*'|[\w.%]+)/g, "'127.0.0.1'")
}

/** `SELECT django_session` and so on, of each GRANT to a table. */
function rightsOf(script: string): string[] {
  const grants = script.replace(/--.*$|["`]/gm, '').matchAll(/GRANT\s+([\s\S]*?)\s+ON\s+([\s\S]*?)\s+TO\s/gi)
  return [...grants].flatMap(([, rights = '', places = '']) => {
    if (/^(?:DATABASE|SCHEMA)\b/i.test(places)) return []
    const tables = places.replace(/^TABLE\s+/i, '').split(/\s*,\s*/)
    return tables.flatMap((table) =>
      rights
        .split(/\s*,\s*/)
        .map(
          (right) =>
            `${right.toUpperCase().replace('LAST_LOGIN', 'last_login')} ${table.replace(/^.*\./, '')}`,
        ),
    )
  })
}

/** `SELECT auth_user` as GRANT and REVOKE take it. */
function onTable(right: string): string {
  return right.replace(/ (\w+)$/, ' ON $1')
}

function selectFrom(table: string): string {
  return `SELECT ${table}`
}

const secretKey = 'of a test 0123456789 abcdefghijklmnopqrstuvwxyz'

/** Without DJANGO_VERSION: the migrations tell it. */
function environment(url: string): Readonly<Record<string, string>> {
  return {
    ...freePorts,
    DATABASE_URL: url,
    DJANGO_SECRET_KEY: secretKey,
    USE_TZ: 'True',
    DATABASE_TIMEOUT: '30',
  }
}

/** A user whose group may mark books as returned. */
async function addReader(url: string): Promise<void> {
  await runScript(
    url,
    `INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
      VALUES (1, '${hashed(PASSWORD)}', FALSE, 'reader', '', '', '', FALSE, TRUE, '2026-01-01 00:00:00');
    INSERT INTO auth_group (id, name) VALUES (1, 'librarians');
    INSERT INTO auth_user_groups (id, user_id, group_id) VALUES (1, 1, 1);
    INSERT INTO auth_group_permissions (id, group_id, permission_id)
      SELECT 1, 1, id FROM auth_permission WHERE codename = 'can_mark_returned'`,
  )
}

/** A row as Django writes it; gives its key. */
async function addDjangoSession(url: string): Promise<string> {
  const key = newSessionKey()
  const codec = createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile('6.1'),
    now: () => new Date(),
  })
  const data = codec.encode(new Map([['num_visits', '5']]))
  await runScript(url, `INSERT INTO django_session VALUES ('${key}', '${data}', '2100-01-01 00:00:00')`)
  return key
}
