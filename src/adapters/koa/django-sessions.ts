import type { Middleware } from 'koa'
import { openSessionRequests } from '../../site/django-sessions.ts'
import type { DjangoSessionsOptions } from '../../site/site-options.ts'
import { createSessionMiddleware } from './session-middleware.ts'

/** Koa middleware that can be closed. */
export interface DjangoSessions extends Middleware {
  /** Closes the connections of its engine (not `db`, which is yours). No request may be running. */
  close(): Promise<void>
}

/**
 * Koa middleware that sets `ctx.session` to the visitor's session of the Django site with these settings.
 * @throws {UnknownDjangoVersion}
 * @throws {TypeError} when the engine is not supported, lacks one of its settings, or this Django does not have the
 * serializer.
 */
export function djangoSessions(options: DjangoSessionsOptions): DjangoSessions {
  const { requests, close } = openSessionRequests(options)
  return Object.assign(createSessionMiddleware({ requests }), { close })
}
