import { tracingChannel } from 'node:diagnostics_channel'
import { UnreadableSession } from '../django/unreadable-session.ts'
import type { SessionClient, SessionEngine, StoredSession } from './engine.ts'
import { SessionTrace, type TracedFailure, type TraceMessage, type TraceResult } from './trace-message.ts'

/** Without type arguments: their order is another one in @types/node 26. */
type Channel = ReturnType<typeof tracingChannel>

/**
 * The channels of `node:diagnostics_channel`: `tracing:koa-django-sessions:load:start` and so on. Published names, see
 * docs/tracing.md. A message contains no secret: no session key, no data, no cookie, no name of a user.
 */
export const traces: Readonly<Record<'load' | 'decode' | 'save' | 'conflict' | 'authenticate', Channel>> =
  Object.freeze({
    load: tracingChannel('koa-django-sessions:load'),
    decode: tracingChannel('koa-django-sessions:decode'),
    save: tracingChannel('koa-django-sessions:save'),
    conflict: tracingChannel('koa-django-sessions:conflict'),
    authenticate: tracingChannel('koa-django-sessions:authenticate'),
  })

/**
 * Runs the work, and publishes it where the channel has subscribers. `outcome` is what a subscriber may know of the result.
 * Unlike `tracePromise` of Node, which publishes the result and the error themselves: they contain secrets.
 * Source: lib/diagnostics_channel.js, tracePromise.
 */
export function traced<R>(
  channel: Channel,
  messageOf: () => TraceMessage,
  work: () => Promise<R>,
  outcome: (result: R) => TraceResult,
): Promise<R> {
  if (!channel.hasSubscribers) return work()
  const message = messageOf()
  const publishWork = async () => {
    try {
      const result = await work()
      message.result = outcome(result)
      return result
    } catch (error) {
      message.error = failureOf(error)
      channel.error.publish(message)
      throw error
    } finally {
      channel.asyncStart.publish(message)
      channel.asyncEnd.publish(message)
    }
  }
  return channel.start.runStores(message, () => {
    const result = publishWork()
    channel.end.publish(message)
    return result
  })
}

/** As `traced`, for synchronous work. Source: lib/diagnostics_channel.js, traceSync. */
export function tracedSync<R>(
  channel: Channel,
  messageOf: () => TraceMessage,
  work: () => R,
  outcome: (result: R) => TraceResult,
): R {
  if (!channel.hasSubscribers) return work()
  const message = messageOf()
  return channel.start.runStores(message, () => {
    try {
      const result = work()
      message.result = outcome(result)
      return result
    } catch (error) {
      message.error = failureOf(error)
      channel.error.publish(message)
      throw error
    } finally {
      channel.end.publish(message)
    }
  })
}

/** The load of a session for a request, or after a conflict. */
export function tracedLoad(
  engine: SessionEngine,
  sessionKey: string,
  client?: SessionClient,
): Promise<StoredSession | null> {
  return traced(
    traces.load,
    () => new SessionTrace(sessionKey),
    () => engine.load(sessionKey, client),
    (stored) => (stored === null ? 'missing' : 'found'),
  )
}

function failureOf(error: unknown): TracedFailure {
  const { name = typeof error, code } = (error ?? {}) as { name?: string; code?: unknown }
  return {
    name,
    code: typeof code === 'string' ? code : undefined,
    ...(error instanceof UnreadableSession && { reason: error.reason }),
  }
}
