import { type LoaderFunctionArgs, redirect } from 'react-router'
import { django, visit } from '../django.server.ts'

export async function loader({ context }: LoaderFunctionArgs) {
  await visit(context.get(django))
  throw redirect('/visit', 307)
}
