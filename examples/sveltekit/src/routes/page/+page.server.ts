import type { PageServerLoad } from './$types.d.ts'

export const load: PageServerLoad = async ({ locals: { django } }) => {
  const session = await django.session.load<{ num_visits: number }>()
  const user = await django.user()
  return {
    name: user.isAuthenticated ? user.getUsername() : 'nobody',
    visits: Number(session.get('num_visits') ?? 0),
  }
}
