import { django } from '../../site.ts'

export const POST = django(async ({ csrf, form, messages }) => {
  await csrf.check()
  messages.success((await form()).get('text') ?? '')
  return new Response(null, { status: 303, headers: { Location: '/notes' } })
})

export const GET = django(async ({ messages }) =>
  Response.json((await messages.take()).map(({ text }) => text)),
)
