import { createOncePerInterval } from '../concurrency/once-per-interval.ts'
import type { UnreadableSession } from '../django/unreadable-session.ts'

/** What is reported without a listener: warnings of Node, for which a process can listen (`process.on('warning')`). */

/** For how many keys there is a warning; more than one program uses. */
const MOST_KEYS = 100

/** Warns once for each key. For development: the search for such changes takes time. */
export function createLostChangeWarning(): (keys: readonly string[]) => void {
  const warned = new Set<string>()
  return function warnOfLostChange(keys) {
    for (const key of keys) {
      if (warned.has(key) || warned.size >= MOST_KEYS) continue
      warned.add(key)
      emit(
        'SESSION_LOST_CHANGE',
        `the session's value ${JSON.stringify(key)} was changed inside, but is not saved; set session.modified = true after ` +
          'such a change, or call session.set. To handle this yourself, pass events.lostChange',
      )
    }
  }
}

const MINUTE = 60_000

/** Warns once a minute for each reason; never with a key or the data of a session. */
export function createUnreadableWarning(
  now: () => Date,
): (sessionKey: string, error: UnreadableSession) => void {
  // By the clock that the site was given.
  const isDue = createOncePerInterval(MINUTE, { monotonic: () => now().getTime() })
  return function warnOfUnreadable(_sessionKey, { reason, message }) {
    if (!isDue(reason)) return
    emit(
      'SESSION_UNREADABLE',
      `${message} (${reason}). It stays as it is, and its visitor gets a new one. To handle this yourself, pass events.unreadable`,
    )
  }
}

/** Warns once for each listener, by its name. Without the error's message, which may quote a session key; with the place in the code. */
export function createListenerWarning(): (listener: string, error: unknown) => void {
  const warned = new Set<string>()
  return function warnOfListener(listener, error) {
    if (warned.has(listener)) return
    warned.add(listener)
    const [name, stack = ''] = error instanceof Error ? [error.name, error.stack] : [typeof error]
    const [place = 'at an unknown place'] = /\bat .*:\d+:\d+\)?$/m.exec(stack) ?? []
    emit(
      'SESSION_LISTENER_FAILED',
      `${listener} threw (${name}, ${place}); the error was ignored, since a listener must not fail a request. Catch ` +
        'errors inside the listener',
    )
  }
}

/**
 * Warns once a minute while a watch cannot read. With the error's name and code alone: a driver's message may quote the
 * statement, with its session keys.
 */
export function createWatchWarning(monotonic: () => number): (error: unknown) => void {
  const isDue = createOncePerInterval(MINUTE, { monotonic })
  return function warnOfWatchFailure(error) {
    if (!isDue('')) return
    const name = error instanceof Error ? error.name : typeof error
    const code = error instanceof Error && 'code' in error ? ` ${String(error.code)}` : ''
    emit(
      'SESSION_WATCH_FAILED',
      `the sessions of open connections could not be read (${name}${code}); the connections stay open until ` +
        'watch.unknownAfter, and the next read follows after watch.interval. Check the database, or the cache, of the sessions',
    )
  }
}

function emit(code: string, text: string): void {
  process.emitWarning(text, { type: 'DjangoSessionsWarning', code })
}
