import { json } from '@sveltejs/kit'
import { visit } from '../../visit.ts'
import type { RequestHandler } from './$types.d.ts'

export const GET: RequestHandler = async ({ locals: { django } }) => {
  const user = await django.user()
  return json({ visits: await visit(django), user: user.isAuthenticated ? user.getUsername() : null })
}
