import type { LoaderFunctionArgs } from 'react-router'
import { django, visit } from '../django.server.ts'

/** Lines without an end: the response leaves, and its session is saved, while its body is still made. */
export async function loader({ context }: LoaderFunctionArgs) {
  const line = new TextEncoder().encode(`visit ${await visit(context.get(django))}\n`)
  return new Response(new ReadableStream({ pull: (stream) => stream.enqueue(line) }))
}
