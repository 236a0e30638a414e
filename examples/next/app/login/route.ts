import { django } from '../../site.ts'

export const POST = django(async ({ csrf, form, authenticate, login }) => {
  await csrf.check()
  const fields = await form()
  const user = await authenticate({
    username: fields.get('username') ?? '',
    password: fields.get('password') ?? '',
  })
  if (user === null) return new Response('wrong name or password', { status: 400 })
  await login(user)
  return new Response(null, { status: 303, headers: { Location: '/visit' } })
})
