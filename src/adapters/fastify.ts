import '../checks/check-node.ts'
import type { FastifyInstance } from 'fastify'
import { checkSite } from '../checks/check-values.ts'
import { clientOf } from '../http/client-info.ts'
import type { SessionRequest } from '../http/session-exchange.ts'
import type { DjangoRequest, DjangoSite } from '../site/django-site.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The visitor's Django session, and who the visitor is: `const user = await request.django.user()`. */
    readonly django: DjangoRequest
  }
}

/**
 * A Fastify plugin that sets `request.django` to the visitor's Django session and user. The session is saved before the
 * response is sent; if that fails, Fastify's error handler answers.
 * `await fastify.register(djangoFastify, { site })`
 */
export function djangoFastify(
  fastify: FastifyInstance,
  { site }: { site: Pick<DjangoSite, 'open'> },
  done: (error?: Error) => void,
): void {
  try {
    checkSite('djangoFastify', site)
  } catch (error) {
    done(error as Error) // If thrown, it would end the process.
    return
  }
  const responders = new WeakMap<object, SessionRequest['respond']>()
  fastify.decorateRequest('django')

  fastify.addHook('onRequest', async function openDjangoSession(request) {
    const { respond, ...django } = site.open(
      request.headers.cookie,
      clientOf(request.raw, () => request.ip),
    )
    Object.assign(request, { django })
    responders.set(request, respond)
  })

  fastify.addHook('onSend', async function saveDjangoSession(request, reply) {
    const respond = responders.get(request)
    responders.delete(request) // Once: the response to a failed save passes this hook again.
    if (respond === undefined) return
    const { setCookie, vary } = await respond(reply.statusCode)
    if (setCookie !== null) reply.header('Set-Cookie', setCookie)
    if (vary !== null) reply.header('Vary', vary(String(reply.getHeader('Vary') ?? '')))
  })
  done()
}

// The hooks apply to the whole application, not only to this plugin; the package fastify-plugin does the same.
Object.assign(djangoFastify, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'django',
})
