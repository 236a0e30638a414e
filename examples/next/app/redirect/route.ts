import { redirect } from 'next/navigation'
import { django } from '../../site.ts'
import { visit } from '../../visit.ts'

export const GET = django(async (exchange) => {
  await visit(exchange)
  redirect('/visit')
})
