import { notFound } from 'next/navigation'
import { django } from '../../site.ts'
import { visit } from '../../visit.ts'

export const GET = django(async (exchange) => {
  await visit(exchange)
  notFound()
})
