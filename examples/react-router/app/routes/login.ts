import { type ActionFunctionArgs, redirect } from 'react-router'
import { django } from '../django.server.ts'

export async function action({ context }: ActionFunctionArgs) {
  const { form, authenticate, login } = context.get(django)
  const fields = await form()
  const user = await authenticate({
    username: fields.get('username') ?? '',
    password: fields.get('password') ?? '',
  })
  if (user === null) return new Response('wrong name or password', { status: 400 })
  await login(user)
  return redirect('/visit', 303)
}
