import { django } from '../../site.ts'
import { visit } from '../../visit.ts'

/** Lines without an end: the response leaves, and its session is saved, while its body is still made. */
export const GET = django(async (exchange) => {
  const line = new TextEncoder().encode(`visit ${await visit(exchange)}\n`)
  return new Response(new ReadableStream({ pull: (stream) => stream.enqueue(line) }))
})
