/** The entry point `koa-django-sessions/koa`. */
import '../../checks/check-node.ts'

export { createAuthMiddleware } from './auth.ts'
export { type CsrfMiddlewareOptions, createCsrfMiddleware, protect } from './csrf.ts'
export { type DjangoSessions, djangoSessions } from './django-sessions.ts'
export { readForm, readQuery } from './form.ts'
export { createMessagesMiddleware, type MessagesMiddlewareOptions } from './messages.ts'
export { createSessionMiddleware } from './session-middleware.ts'
