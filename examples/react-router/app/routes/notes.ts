import { type ActionFunctionArgs, type LoaderFunctionArgs, redirect } from 'react-router'
import { django } from '../django.server.ts'

export async function action({ context }: ActionFunctionArgs) {
  const { form, messages } = context.get(django)
  messages.success((await form()).get('text') ?? '')
  return redirect('/notes', 303)
}

export async function loader({ context }: LoaderFunctionArgs) {
  return Response.json((await context.get(django).messages.take()).map(({ text }) => text))
}
