import '../checks/check-node.ts'
import type { FastifyInstance, FastifyPluginCallback, FastifyRequest } from 'fastify'
import { checkSite } from '../checks/check-values.ts'
import type { DjangoSite } from '../site/django-site.ts'
import type { DjangoExchange, OpenedExchange } from '../site/site-request.ts'
import { saveBefore } from './fastify-reply.ts'
import { NodeSiteRequest } from './node-request.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The visitor's Django session, and who the visitor is: `const user = await request.django.user()`. */
    readonly django: DjangoExchange
  }
}

/** The options of the plugin `djangoFastify`. */
export interface DjangoFastifyOptions {
  readonly site: Pick<DjangoSite, 'openRequest'>
  /**
   * Whether `request.django.form()` reads forms. Default: false, for a site whose forms another plugin parses, such as
   * @fastify/formbody. Without either, Fastify answers 415 to a form.
   */
  readonly forms?: boolean
}

/** The types of bodies that a form may have. */
const FORM_TYPES = ['application/x-www-form-urlencoded', 'multipart/form-data']

/**
 * A Fastify plugin that sets `request.django` to the visitor's Django session and user, CSRF token and messages. The
 * session is saved before the response is sent; if that fails, Fastify's error handler answers.
 * `await fastify.register(djangoFastify, { site })`
 */
export const djangoFastify: FastifyPluginCallback<DjangoFastifyOptions> = (fastify, options, done) => {
  install(fastify, options).then(() => done(), done)
}

async function install(app: FastifyInstance, { site, forms = false }: DjangoFastifyOptions): Promise<void> {
  checkSite('djangoFastify', site)
  const responders = new WeakMap<object, OpenedExchange['respond']>()
  app.decorateRequest('django')
  // The body stays unread until `form()` or the CSRF check reads it.
  if (forms) app.addContentTypeParser(FORM_TYPES, (_request, _body, parsed) => parsed(null))

  app.addHook('onRequest', async function openDjangoSession(request) {
    const { django, respond } = await site.openRequest(new NodeSiteRequest(request.raw, request))
    Object.assign(request, { django })
    responders.set(request, respond)
  })

  app.addHook('onSend', async function saveDjangoSession(request, reply, payload) {
    const respond = responders.get(request)
    responders.delete(request) // Once: the response to a failed save passes this hook again.
    if (respond !== undefined) await saveBefore(reply, payload, respond)
  })
}

/**
 * A `preHandler` hook that refuses a request which may change something and has no valid CSRF token, with 403.
 * `fastify.post('/renew/', { preHandler: protect }, handler)`
 */
export async function protect({ django }: Partial<Pick<FastifyRequest, 'django'>>): Promise<void> {
  const missing = 'protect needs request.django; put app.register(djangoFastify, { site }) before it'
  if (django === undefined) throw new TypeError(missing)
  await django.csrf.check()
}

// The hooks apply to the whole application, not only to this plugin; the package fastify-plugin does the same.
Object.assign(djangoFastify, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'django',
})
