import type { LoaderFunctionArgs } from 'react-router'
import { django, visit } from '../django.server.ts'

export async function loader({ context }: LoaderFunctionArgs) {
  await visit(context.get(django))
  throw new Error('a bug')
}

export default function Fail() {
  return <p>never shown</p>
}
