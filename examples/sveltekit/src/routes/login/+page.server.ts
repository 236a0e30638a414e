import { fail, redirect } from '@sveltejs/kit'
import type { Actions, PageServerLoad } from './$types.d.ts'

export const load: PageServerLoad = ({ locals: { django } }) => ({ token: django.csrf.getToken() })

export const actions: Actions = {
  async default({ locals: { django } }) {
    const fields = await django.form()
    const user = await django.authenticate({
      username: fields.get('username') ?? '',
      password: fields.get('password') ?? '',
    })
    if (user === null) return fail(400, { problem: 'wrong name or password' })
    await django.login(user)
    redirect(303, '/visit')
  },
}
