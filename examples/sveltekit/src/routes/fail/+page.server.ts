import { visit } from '../../visit.ts'
import type { PageServerLoad } from './$types.d.ts'

export const load: PageServerLoad = async ({ locals: { django } }) => {
  await visit(django)
  throw new Error('a bug')
}
