/** Sessions that are checked by a schema. */
import { type } from 'arktype'
import { type Misfit, type SessionHandle, SessionMisfit } from 'koa-django-sessions'
import * as v from 'valibot'
import * as z from 'zod'

type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

const schema = v.object({
  num_visits: v.optional(v.number(), 0),
  since: v.optional(
    v.pipe(
      v.string(),
      v.transform((text) => new Date(text)),
    ),
  ),
})

export async function checked(handle: SessionHandle): Promise<readonly Misfit[]> {
  const { session, values, misfits } = await handle.load(schema)
  const { num_visits, since } = values
  same<typeof num_visits, number>(true)
  same<typeof since, Date | undefined>(true)

  // What is stored is what the schema takes.
  session.set('since', '2026-01-01')
  // @ts-expect-error: a text is stored, a Date is only in values
  session.set('since', new Date())
  session.compute('num_visits', (stored = 0) => stored + 1)
  // @ts-expect-error: not a key of the schema
  session.get('other')

  const dropped = await handle.load(schema, { misfits: 'drop' })
  same<typeof dropped.values.num_visits, number>(true)

  const kept = await handle.load(schema, { misfits: 'keep' })
  same<typeof kept.values.num_visits, unknown>(true)

  // @ts-expect-error: no such policy
  await handle.load(schema, { misfits: 'ignore' })
  // @ts-expect-error: not a schema
  await handle.load({ parse: () => true })
  return misfits
}

const zodSchema = z.strictObject({
  num_visits: z.number().default(0),
  since: z
    .string()
    .transform((text) => new Date(text))
    .optional(),
})

export async function checkedByZod(handle: SessionHandle): Promise<void> {
  const { session, values } = await handle.load(zodSchema, { misfits: 'drop' })
  const { num_visits, since } = values
  same<typeof num_visits, number>(true)
  same<typeof since, Date | undefined>(true)
  session.set('since', '2026-01-01')
  // @ts-expect-error: a text is stored, a Date is only in values
  session.set('since', new Date())
  // @ts-expect-error: not a key of the schema
  session.get('other')
}

const arkSchema = type({ num_visits: 'number = 0', 'since?': type('string').pipe((text) => new Date(text)) })

export async function checkedByArktype(handle: SessionHandle): Promise<void> {
  const { session, values } = await handle.load(arkSchema, { misfits: 'drop' })
  const { num_visits, since } = values
  same<typeof num_visits, number>(true)
  same<typeof since, Date | undefined>(true)
  session.set('since', '2026-01-01')
  // @ts-expect-error: a text is stored, a Date is only in values
  session.set('since', new Date())
  // @ts-expect-error: not a key of the schema
  session.get('other')
}

export function reasons(error: unknown): (string | null)[] {
  return error instanceof SessionMisfit ? error.misfits.map(({ key }) => key) : []
}
