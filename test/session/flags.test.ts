import { readFileSync } from 'node:fs'
import test from 'ava'
import { getExpiryAge } from '../../src/django/expiry.ts'
import { createSessions, type SessionHandle } from '../../src/session/handle.ts'
import type { Session } from '../../src/session/session.ts'
import { type DbUnderTest, openDb } from '../engines/db-under-test.ts'
import { fileScope } from '../support/file-scope.ts'
import { rules } from './conformance/engine-under-test.ts'

/** What one operation does to the flags of real Django's session: test/measured/flags-….json. */
interface Measured {
  readonly op: string
  readonly existing: Outcome
  readonly 'no key': Outcome
}

interface Outcome {
  readonly result: string
  readonly accessed: boolean
  readonly modified: boolean
  readonly key: 'same' | 'new' | null
}

type Operation = (handle: SessionHandle, site: DbUnderTest) => unknown

/** Runs with the loaded session. Loading marks it accessed; this is undone here, since each operation must mark it. */
const loaded =
  (operation: (session: Session) => unknown): Operation =>
  async (handle) => {
    const session = await handle.load()
    session.accessed = false
    return operation(session)
  }

/** Our counterparts. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  '(nothing)': () => undefined,
  session_key: (handle) => handle.sessionKey,
  'is_empty()': (handle) => handle.isEmpty,
  "get('a')": loaded((session) => session.get('a')),
  "s['a']": loaded((session) => session.require('a')),
  "'a' in s": loaded((session) => session.has('a')),
  "has_key('a')": loaded((session) => session.has('a')),
  'keys()': loaded((session) => session.keys()),
  'values()': loaded((session) => session.values()),
  'items()': loaded((session) => session.items().map(([key, value]) => new Tuple(key, value))),
  "s['a']=2": loaded((session) => session.set('a', 2)),
  "s['a']=same": loaded((session) => session.set('a', session.get('a', 1))),
  "del s['a']": loaded((session) => session.delete('a')),
  "del s['nope']": loaded((session) => session.delete('nope')),
  "pop('a')": loaded((session) => session.pop('a')),
  "pop('nope', None)": loaded((session) => session.pop('nope', null)),
  "pop('nope')": loaded((session) => session.pop('nope')),
  "setdefault('a', 9)": loaded((session) => session.setDefault('a', 9)),
  "setdefault('new', 9)": loaded((session) => session.setDefault('new', 9)),
  'update({})': loaded((session) => session.update({})),
  "update({'b':1})": loaded((session) => session.update({ b: 1 })),
  'nested mutation': loaded((session) => void (session.require('l') as number[]).push(1)),
  'clear()': loaded((session) => session.clear()),
  'flush()': loaded((session) => session.flush()),
  'cycle_key()': loaded((session) => session.cycleKey()),
  'save()': loaded((session) => session.save()),
  'delete()': (handle, { engine }) =>
    handle.sessionKey === null ? undefined : engine.delete(handle.sessionKey),
  'load()': async (handle, { engine }) =>
    Object.fromEntries(
      [...((handle.sessionKey === null ? null : await engine.load(handle.sessionKey))?.data ?? [])].map(
        ([key, text]) => [key, JSON.parse(text)],
      ),
    ),
  'exists(key)': (_handle, { engine }) => engine.exists('unknownunknown'),
  'set_expiry(300)': loaded((session) => session.setExpiry(300)),
  'set_expiry(None) (none set)': loaded((session) => session.setExpiry(null)),
  'get_expiry_age()': loaded((session) => session.getExpiryAge()),
  'get_expiry_age(expiry=None)': (_handle, { clock }) => getExpiryAge(null, rules, clock.now),
  'get_expiry_date()': loaded((session) => session.getExpiryDate()),
  'get_expire_at_browser_close()': loaded((session) => session.getExpireAtBrowserClose()),
  'set_test_cookie()': loaded((session) => session.setTestCookie()),
  'test_cookie_worked()': loaded((session) => session.testCookieWorked()),
  'delete_test_cookie() (none set)': loaded((session) => session.deleteTestCookie()),
  'encode({})': (_handle, { codec }) => codec.encode(new Map()).length > 0,
}

const WITHOUT_COUNTERPART: Readonly<Record<string, string>> = {
  'bool(s)': 'a JavaScript object is always true; `isEmpty` tells what bool tells since 6.1',
  'create()': '`save` creates a session that has no key, `cycleKey` gives it another',
  "decode('x')": 'what cannot be read is refused here, and not taken for an empty session',
  'len(s)': '`size`, which Django lacks',
  'iter(s)': 'iterates over the items, which Django cannot',
}

const KEY = 'abcdefgh0123456789abcdefgh012345'
const file = fileScope(test)

for (const version of ['2.2', '3.2', '4.2', '5.2', '6.1']) {
  const table: Measured[] = JSON.parse(
    readFileSync(new URL(`../measured/flags-${version}.json`, import.meta.url), 'utf8'),
  )
  let opened: Promise<DbUnderTest> | undefined

  test(`every operation of Django ${version} has a counterpart here, or a reason not to have one`, (t) => {
    const known = [...Object.keys(OPERATIONS), ...Object.keys(WITHOUT_COUNTERPART)]
    const measured = table.map(({ op }) => op)
    t.is(measured.length, 44)
    t.deepEqual(
      measured.filter((op) => known.filter((one) => one === op).length !== 1),
      [],
    )
    t.deepEqual(
      known.filter((op) => !measured.includes(op)),
      [],
    )
  })

  for (const { op, ...cases } of table) {
    const operation = OPERATIONS[op]
    if (operation === undefined) continue
    for (const [title, expected] of Object.entries(cases)) {
      test.serial(`flags and key after ${op} are those of Django ${version}, ${title}`, async (t) => {
        opened ??= openDb(file, 'sqlite', { djangoVersion: version })
        const site = await opened
        await site.empty()
        site.clock.now = new Date('2026-11-23T08:25:12.345Z')
        const data = new Map([
          ['a', '1'],
          ['l', '[]'],
        ] as const)
        await site.engine.create(KEY, { data, expireDate: new Date('2026-12-01T00:00:00Z') })
        const sessions = createSessions({ engine: site.engine, rules, now: () => site.clock.now })
        const handle = sessions.open(title === 'existing' ? KEY : undefined)
        const result = await Promise.resolve(operation(handle, site)).catch((error: Error) => error)
        t.is(repr(result, KEY), expected.result.replace(/^(RAISES KeyError): .*/, '$1'))
        t.is(handle.accessed, expected.accessed)
        t.is(handle.modified, expected.modified)
        t.is(handle.sessionKey === null ? null : handle.sessionKey === KEY ? 'same' : 'new', expected.key)
      })
    }
  }
}

for (const [name, operation] of Object.entries({
  size: (session: Session) => session.size,
  iteration: (session: Session) => [...session],
  compute: (session: Session) => session.compute('a', (old) => old),
})) {
  test(`${name}, which Django does not have, marks the session accessed`, async (t) => {
    const { engine } = await openDb(t, 'sqlite')
    const session = await createSessions({ engine, rules }).open(undefined).load()
    session.accessed = false
    operation(session)
    t.true(session.accessed)
  })
}

class Tuple extends Array<unknown> {}

/** As Python prints it, and the table writes it. */
function repr(value: unknown, key: string): string {
  if (value === undefined || value === null) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (value === key) return '<key>'
  if (value instanceof Error) return `RAISES ${value.name}`
  if (value instanceof Date) return 'datetime'
  const inner = (one: unknown) => repr(one, key)
  if (value instanceof Tuple) return `(${[...value].map(inner).join(', ')})`
  if (Array.isArray(value)) return `[${value.map(inner).join(', ')}]`
  if (typeof value === 'string') return `'${value}'`
  if (typeof value !== 'object') return String(value)
  return `{${Object.entries(value)
    .map(([name, one]) => `'${name}': ${inner(one)}`)
    .join(', ')}}`
}
