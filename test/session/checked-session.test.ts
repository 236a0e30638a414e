import { inspect } from 'node:util'
import { type } from 'arktype'
import test, { type ExecutionContext } from 'ava'
import * as v from 'valibot'
import * as z from 'zod'
import { pickledValues } from '../../src/django/session-values.ts'
import { type MisfitPolicy, SessionMisfit } from '../../src/session/checked-session.ts'
import { createSessions, type SessionHandle, type SessionsOptions } from '../../src/session/handle.ts'
import type { SchemaResult, StandardSchema } from '../../src/session/standard-schema.ts'
import { createMemoryEngine } from '../../src/testing/memory-engine.ts'
import { rules } from './conformance/engine-under-test.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'

/** One schema in each library. Every key has a default or is optional, as a new session needs it. */
const schemas = {
  valibot: v.object({
    num_visits: v.optional(v.number(), 0),
    cart: v.optional(v.array(v.object({ book: v.string(), copies: v.number() })), []),
    since: v.optional(
      v.pipe(
        v.string(),
        v.transform((text) => new Date(text)),
      ),
    ),
  }),
  zod: z.object({
    num_visits: z.number().default(0),
    cart: z.array(z.object({ book: z.string(), copies: z.number() })).default([]),
    since: z
      .string()
      .transform((text) => new Date(text))
      .optional(),
  }),
  arktype: type({
    '+': 'delete',
    num_visits: 'number = 0',
    cart: type({ book: 'string', copies: 'number' })
      .array()
      .default(() => []),
    'since?': type('string').pipe((text) => new Date(text)),
  }),
}
const schema = schemas.valibot

/** Schemas that accept no other key. */
const strictSchemas = {
  valibot: v.strictObject({ num_visits: v.optional(v.number(), 0) }),
  zod: z.strictObject({ num_visits: z.number().default(0) }),
  arktype: type({ '+': 'reject', num_visits: 'number = 0' }),
}

async function stored(data: Record<string, string>, options: Partial<SessionsOptions> = {}) {
  const engine = createMemoryEngine()
  await engine.create(KEY, {
    data: new Map(Object.entries(data)),
    expireDate: new Date(Date.now() + 60_000),
  })
  const handle = createSessions({ engine, rules, ...options }).open(KEY)
  const row = async () => Object.fromEntries((await engine.load(KEY))?.data ?? [])
  return { handle, row }
}

async function misfitOf(t: ExecutionContext, loading: Promise<unknown>): Promise<SessionMisfit> {
  const error = await t.throwsAsync(loading, { instanceOf: SessionMisfit, code: 'ERR_SESSION_MISFIT' })
  return error as SessionMisfit
}

const GOOD = { num_visits: '3', cart: '[{"book":"b","copies":1}]', since: '"2026-01-01"', other: '1.0' }
const BAD = { ...GOOD, num_visits: '"three"', cart: '[{"book":7,"copies":"x"}]' }

for (const [library, schema] of Object.entries(schemas)) {
  // The order is the library's.
  const badKeys = library === 'arktype' ? ['cart', 'num_visits'] : ['num_visits', 'cart']

  for (const misfits of ['throw', 'drop', 'keep'] as const satisfies readonly MisfitPolicy[])
    test(`with ${misfits}, a session that fits is what the schema of ${library} makes of it`, async (t) => {
      const { handle } = await stored(GOOD)
      const checked = await handle.load(schema, { misfits })
      t.deepEqual<unknown, unknown>(checked.values, {
        num_visits: 3,
        cart: [{ book: 'b', copies: 1 }],
        since: new Date('2026-01-01'),
      })
      t.deepEqual(checked.misfits, [])
      t.is<unknown, unknown>(checked.session, await handle.load())
    })

  test(`a new session is what the schema of ${library} makes of no keys`, async (t) => {
    const { handle } = await stored({})
    t.deepEqual<unknown, unknown>((await handle.load(schema)).values, { num_visits: 0, cart: [] })
  })

  test(`what does not fit the schema of ${library} throws by default, with the keys, and without values where a log would show them`, async (t) => {
    const { handle } = await stored(BAD)
    const error = await misfitOf(t, handle.load(schema))
    t.is(error.message, `the session does not fit the schema: ${badKeys.map((key) => `"${key}"`).join(', ')}`)
    t.deepEqual(
      error.misfits.map(({ key, issues }) => [key, issues.length]),
      badKeys.map((key) => [key, key === 'cart' ? 2 : 1]),
    )
    if (library === 'valibot') t.regex(error.misfits[0]?.issues[0]?.message ?? '', /"three"/)
    t.notRegex(inspect(error) + JSON.stringify(error), /three/)
  })

  test(`drop leaves keys that do not fit the schema of ${library} out of the view, and never out of the row`, async (t) => {
    const { handle, row } = await stored(BAD)
    const { session, values, misfits } = await handle.load(schema as typeof schemas.valibot, {
      misfits: 'drop',
    })
    t.deepEqual(values, { num_visits: 0, cart: [], since: new Date('2026-01-01') })
    t.deepEqual(
      misfits.map(({ key }) => key),
      badKeys,
    )
    t.false(session.modified)
    session.set('since', '2026-02-02')
    await session.save()
    t.deepEqual(await row(), { ...BAD, since: '"2026-02-02"' })
  })

  test(`keep shows keys that do not fit the schema of ${library} as they are stored`, async (t) => {
    const { handle, row } = await stored(BAD)
    const { values, misfits } = await handle.load(schema, { misfits: 'keep' })
    t.deepEqual<unknown, unknown>(values, {
      num_visits: 'three',
      cart: [{ book: 7, copies: 'x' }],
      since: new Date('2026-01-01'),
    })
    t.is(misfits.length, 2)
    t.deepEqual(await row(), BAD)
  })
}

for (const [library, strict] of Object.entries(strictSchemas)) {
  test(`a strict schema of ${library} reports Django's own keys, by key`, async (t) => {
    const data = { num_visits: '3', _auth_user_id: '"7"', _session_expiry: '3600' }
    const { handle, row } = await stored(data)
    const error = await misfitOf(t, handle.load(strict))
    t.true(error.misfits.some(({ key }) => key === '_auth_user_id'))
    t.true(error.misfits.every(({ key }) => key?.startsWith('_')))

    const dropped = await handle.load(strict, { misfits: 'drop' })
    t.deepEqual<unknown, unknown>(dropped.values, { num_visits: 3 })
    t.deepEqual(dropped.misfits.map(({ key }) => key).sort(), ['_auth_user_id', '_session_expiry'])
    t.deepEqual<unknown, unknown>((await handle.load(strict, { misfits: 'keep' })).values, {
      num_visits: 3,
      _auth_user_id: '7',
      _session_expiry: 3600,
    })
    dropped.session.set('num_visits', 4)
    await dropped.session.save()
    t.deepEqual(await row(), { ...data, num_visits: '4' })
  })
}

test('a schema may be asynchronous', async (t) => {
  const known = v.objectAsync({
    cart: v.optionalAsync(
      v.pipeAsync(
        v.string(),
        v.checkAsync(async (text) => text === 'known'),
      ),
      'known',
    ),
  })
  const { handle } = await stored({ cart: '"unknown"' })
  await misfitOf(t, handle.load(known))
  const { values, misfits } = await handle.load(known, { misfits: 'drop' })
  t.deepEqual(values, { cart: 'known' })
  t.is(misfits[0]?.key, 'cart')
})

test('what a schema needs and the session lacks throws, unless misfits are kept', async (t) => {
  const needs = v.object({ num_visits: v.number() })
  for (const data of [{}, { num_visits: '"three"' }]) {
    const { handle } = await stored({ ...data, other: '1' })
    t.is((await misfitOf(t, handle.load(needs))).misfits[0]?.key, 'num_visits')
    const error = await misfitOf(t, handle.load(needs, { misfits: 'drop' }))
    t.regex(error.message, /"num_visits"; make them optional, or give them a default/)
    t.is(error.misfits.length, 1)
  }
  const { handle } = await stored({ num_visits: '"three"', other: '1' })
  const { values } = await handle.load(needs, { misfits: 'keep' })
  t.deepEqual<unknown, unknown>(values, { num_visits: 'three', other: 1 })
})

test('what a schema says of the whole session has no key', async (t) => {
  const whole = v.pipe(
    schema,
    v.check(({ num_visits, cart }) => num_visits > 0 || cart.length === 0, 'a cart without a visit'),
  )
  const { handle } = await stored({ cart: GOOD.cart })
  const error = await misfitOf(t, handle.load(whole, { misfits: 'drop' }))
  t.deepEqual(error.misfits, [{ key: null, issues: error.misfits[0]?.issues ?? [] }])
  t.regex(error.message, /: as a whole; the schema names no key that could be left out$/)
})

test('issues that show only after others are found, too', async (t) => {
  // The check of the whole runs when each key fits.
  const both = v.pipe(
    v.object({ a: v.optional(v.number()), b: v.optional(v.number()) }),
    v.forward(
      v.check(({ b }) => b !== 2, 'not two'),
      ['b'],
    ),
  )
  const { handle } = await stored({ a: '"x"', b: '2' })
  const { values, misfits } = await handle.load(both, { misfits: 'drop' })
  t.deepEqual(values, {})
  t.deepEqual(
    misfits.map(({ key }) => key),
    ['a', 'b'],
  )
})

/** A schema by hand, for what the libraries do not do. */
const handmade = (validate: (value: Record<string, unknown>) => SchemaResult<unknown>): StandardSchema => ({
  '~standard': { version: 1, vendor: 'tests', validate: (value) => validate(value as never) },
})

test('a schema that changes what it is given does not change the session', async (t) => {
  const { handle, row } = await stored({ list: '[1]' })
  const changing = handmade((value) => {
    ;(value.list as number[]).push(2)
    return { value }
  })
  const { session, values } = await handle.load(changing)
  t.deepEqual(values, { list: [1, 2] })
  t.deepEqual((session as unknown as Map<string, unknown>).get('list'), [1])
  session.modified = true
  await session.save()
  t.deepEqual(await row(), { list: '[1]' })
})

test('a path may have objects and numbers, and keys that every object has', async (t) => {
  const { handle } = await stored({ '7': '1', __proto__x: '1', ['__proto__']: '1' })
  const seen: string[][] = []
  const picky = handmade((value) => {
    seen.push(Object.keys(value))
    const issues = [
      ...(Object.hasOwn(value, '7') ? [{ message: 'seven', path: [7] }] : []),
      ...(Object.hasOwn(value, '__proto__') ? [{ message: 'odd', path: [{ key: '__proto__' }, 'x'] }] : []),
      ...(Object.hasOwn(value, 'toString') ? [{ message: 'never', path: ['toString'] }] : []),
    ]
    return issues.length > 0 ? { issues } : { value }
  })
  const { values, misfits } = await handle.load(picky, { misfits: 'drop' })
  t.deepEqual(Object.keys(values as object), ['__proto__x'])
  t.deepEqual(
    misfits.map(({ key }) => key),
    ['7', '__proto__'],
  )
  t.is(seen.length, 2)
})

test('the view has what this request has set, and pickled values as they are', async (t) => {
  const { handle } = await stored({}, { values: pickledValues })
  const session = await handle.load()
  session.set('num_visits', 2)
  session.set('tags', new Set(['a']))
  const { values } = await handle.load(v.looseObject({ num_visits: v.number(), tags: v.set(v.string()) }))
  t.deepEqual(values, { num_visits: 2, tags: new Set(['a']) })
  t.not<unknown, unknown>(values.tags, session.get('tags'))
})

test('a schema or a policy of another kind is refused', async (t) => {
  const { handle } = await stored({})
  const load = handle.load.bind(handle) as unknown as SessionHandle['load'] &
    ((...args: unknown[]) => Promise<unknown>)
  for (const wrong of [null, {}, 'schema', () => true])
    await t.throwsAsync(load(wrong), {
      instanceOf: TypeError,
      message: /Standard Schema; pass a schema of zod/,
    })
  await t.throwsAsync(load(schema, { misfits: 'ignore' }), { message: /'throw', 'drop' or 'keep'/ })
})
