/** Ends the source of a body that is not sent: a stream of Node or of the Web, or a `Response`; else nothing. */
export function discardBody(body: unknown, reason?: unknown): void {
  if (typeof body !== 'object' || body === null) return
  if ('destroy' in body && typeof body.destroy === 'function') body.destroy()
  else if (body instanceof Response) discardBody(body.body, reason)
  // A locked stream cannot be cancelled: its reader ends it.
  else if (body instanceof ReadableStream) body.cancel(reason).catch(() => {})
}

/** Waits for what is saved before a response with this body; if that fails, the body is discarded. */
export async function discardOnFailure<R>(body: unknown, saving: Promise<R>): Promise<R> {
  try {
    return await saving
  } catch (error) {
    discardBody(body, error)
    throw error
  }
}
