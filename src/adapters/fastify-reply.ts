import type { FastifyReply } from 'fastify'
import { discardOnFailure } from '../http/discard-body.ts'
import { addHeaders } from '../http/response-headers.ts'
import { statusOf } from '../http/statuses.ts'
import type { OpenedExchange } from '../site/site-request.ts'

/** Saves what the request changed, before this reply is sent. If that fails, its error is the reply. */
export async function saveBefore(
  reply: FastifyReply,
  body: unknown,
  respond: OpenedExchange['respond'],
): Promise<void> {
  const saving = respond(reply.statusCode)
  try {
    const set = (name: string, value: string) => reply.header(name, value) // It appends cookies.
    addHeaders(
      { get: (name) => reply.getHeader(name), set, append: set },
      await discardOnFailure(body, saving),
    )
  } catch (error) {
    reply.code(statusOf(error)) // Fastify keeps a status from 400 on, which was the handler's.
    throw error
  }
}
