import type { LoaderFunctionArgs } from 'react-router'
import { django, visit } from '../django.server.ts'

export async function loader({ context }: LoaderFunctionArgs) {
  await visit(context.get(django))
  throw new Response('no such book', { status: 404 })
}

export default function Missing() {
  return <p>never shown</p>
}
