import type { Middleware } from 'koa'
import { type DjangoSessionsOptions, openSessionRequests } from '../../site/django-sessions.ts'
import { createSessionMiddleware } from './session-middleware.ts'

/** Koa middleware, and the end of what it opened. */
export interface DjangoSessions extends Middleware {
  /** Ends the connections of its engine (not `db`, which is yours); no request may be running any more. */
  close(): Promise<void>
}

/**
 * Koa middleware that gives each request the visitor's session of the Django site with these settings.
 * @throws {UnknownDjangoVersion}
 * @throws {TypeError} when the engine is none that is built, or lacks one of its settings, or the serializer is none
 * that this Django has.
 */
export function djangoSessions(options: DjangoSessionsOptions): DjangoSessions {
  const { requests, close } = openSessionRequests(options)
  return Object.assign(createSessionMiddleware({ requests }), { close })
}
