import { error } from '@sveltejs/kit'
import { visit } from '../../visit.ts'
import type { PageServerLoad } from './$types.d.ts'

export const load: PageServerLoad = async ({ locals: { django } }) => {
  await visit(django)
  error(404, 'no such book')
}
