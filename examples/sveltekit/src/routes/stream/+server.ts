import { visit } from '../../visit.ts'
import type { RequestHandler } from './$types.d.ts'

/** Lines without an end: the response leaves, and its session is saved, while its body is still made. */
export const GET: RequestHandler = async ({ locals: { django } }) => {
  const line = new TextEncoder().encode(`visit ${await visit(django)}\n`)
  return new Response(new ReadableStream({ pull: (stream) => stream.enqueue(line) }))
}
