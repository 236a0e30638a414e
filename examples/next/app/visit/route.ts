import { django } from '../../site.ts'
import { visit } from '../../visit.ts'

export const GET = django(async (exchange) => {
  const user = await exchange.user()
  return Response.json({
    visits: await visit(exchange),
    user: user.isAuthenticated ? user.getUsername() : null,
  })
})
