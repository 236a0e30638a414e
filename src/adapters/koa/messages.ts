import type { Middleware } from 'koa'
import { checkObject, checkProfile, checkSecretKeys } from '../../checks/check-values.ts'
import { createMessagesRequests, type Messages, type MessagesOptions } from '../../http/messages.ts'
import { addHeaders } from '../../http/response-headers.ts'
import { checkSession } from './session-middleware.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** django.contrib.messages: notes to the visitor, shown once, on whichever side shows a page next. */
    messages: Messages
  }
}

/** Django's MESSAGE_… settings, with Django's defaults, and what else decides. */
export type MessagesMiddlewareOptions = MessagesOptions

/**
 * Sets `ctx.messages` for each request. It belongs inside the session middleware, and outside the error pages if they
 * show messages. Source: django/contrib/messages/middleware.py.
 */
export function createMessagesMiddleware(options: MessagesMiddlewareOptions): Middleware {
  const { secretKeys, profile, sessionCookie, storage = 'fallback' } = options
  checkSecretKeys('createMessagesMiddleware', secretKeys)
  checkProfile('createMessagesMiddleware', profile)
  checkObject('createMessagesMiddleware', 'sessionCookie', sessionCookie)
  const requests = createMessagesRequests(options)
  return async function messagesMiddleware(ctx, next) {
    if (storage !== 'cookie') checkSession(ctx, `createMessagesMiddleware with the storage ${storage}`)
    const session = storage === 'cookie' ? null : ctx.session
    const { messages, respond } = requests.open({ cookieHeader: ctx.get('Cookie'), session })
    ctx.messages = {
      ...messages,
      async take() {
        // At once, for a page that sends its headers itself.
        addHeaders(ctx.response, [{ setCookie: null, vary: requests.vary }])
        return messages.take()
      },
    }
    try {
      await next()
    } finally {
      if (!ctx.headerSent) addHeaders(ctx.response, [await respond()])
    }
  }
}
