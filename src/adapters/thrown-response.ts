/** What a handler gave: a response, which it returned or threw, or another error. */
type Outcome = { readonly response: Response; readonly isThrown: boolean } | { readonly error: unknown }

/** Runs the work. Frameworks throw responses, as React Router does, or values that stand for one. */
export async function outcomeOf(work: () => Response | Promise<Response>): Promise<Outcome> {
  try {
    return { response: await work(), isThrown: false }
  } catch (error) {
    if (error instanceof Response) return { response: error, isThrown: true }
    const response = thrownResponse(error)
    return response === null ? { error } : { response, isThrown: false }
  }
}

/**
 * The response that a thrown value stands for, or null. Frameworks catch these values outside the handler and make the
 * response there, where it would not get the cookies of the session.
 */
function thrownResponse(thrown: unknown): Response | null {
  if (typeof thrown !== 'object' || thrown === null) return null
  if (thrown instanceof Error && 'getResponse' in thrown && typeof thrown.getResponse === 'function')
    return thrown.getResponse()
  if ('digest' in thrown && typeof thrown.digest === 'string') return nextResponse(thrown.digest)
  return svelteKitRedirect(thrown)
}

/**
 * What redirect(), notFound(), forbidden() and unauthorized() of Next.js throw, as a route handler answers it.
 * Source: next/src/server/route-modules/app-route/module.ts, handleHandlerError; redirect-error.ts, isRedirectError.
 */
function nextResponse(digest: string): Response | null {
  const parts = digest.split(';')
  if (parts[0] === 'NEXT_HTTP_ERROR_FALLBACK') {
    const status = Number(parts[1])
    return [401, 403, 404].includes(status) ? new Response(null, { status }) : null
  }
  // NEXT_REDIRECT;replace;/a;b;307; where the location itself may have semicolons.
  if (parts[0] !== 'NEXT_REDIRECT') return null
  return redirectTo(parts.slice(2, -2).join(';'), Number(parts.at(-2)))
}

/** What redirect() of SvelteKit throws. Source: @sveltejs/kit/src/exports/internal/shared.js, Redirect. */
function svelteKitRedirect(thrown: object): Response | null {
  if (thrown instanceof Error || !('status' in thrown) || !('location' in thrown)) return null
  return typeof thrown.location === 'string' ? redirectTo(thrown.location, Number(thrown.status)) : null
}

/** `Response.redirect` refuses a location without a host. */
function redirectTo(location: string, status: number): Response | null {
  if (!Number.isInteger(status) || status < 300 || status > 308) return null
  return new Response(null, { status, headers: { Location: location } })
}
