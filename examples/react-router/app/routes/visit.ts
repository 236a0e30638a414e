import type { LoaderFunctionArgs } from 'react-router'
import { django, visit } from '../django.server.ts'

export async function loader({ context }: LoaderFunctionArgs) {
  const exchange = context.get(django)
  const user = await exchange.user()
  return Response.json({
    visits: await visit(exchange),
    user: user.isAuthenticated ? user.getUsername() : null,
  })
}
