import { type DestinationStream, pino } from 'pino'
import type { LogLevel } from './settings.ts'
import type { Log } from './web/log.ts'

/**
 * Standard output: the lines of one turn of the event loop are one write, since a write of each would cost more than the
 * line, and in a thread, so that no visitor waits for whoever reads the log. The period is for lines that come while a
 * write is on its way, when `flush` does nothing; what is left when the process exits is written then.
 */
function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 100 })
  let isFlushing = false
  return {
    write(line) {
      output.write(line)
      if (isFlushing) return
      isFlushing = true
      setImmediate(() => {
        isFlushing = false
        output.flush()
      })
    },
  }
}

/** One JSON line an event on standard output. Nothing logs a secret; should something ever, by these names it does not. */
export function createLog(level: LogLevel, destination: DestinationStream = standardOutput()): Log {
  // Not pino's `redact`, which takes ten times as long as all else that pino does with an event.
  const formatters = { log: censorFields }
  const timestamp = pino.stdTimeFunctions.isoTime
  const logger = pino({ level, base: null, timestamp, messageKey: 'event', formatters }, destination)
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  }
}

function censorFields(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, SECRETS.has(name) ? '[redacted]' : censor(value)]),
  )
}

function censor(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(censor)
  const isPlain =
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  return isPlain ? censorFields({ ...value }) : value
}

const SECRETS: ReadonlySet<string> = new Set(
  'authorization cookie password secretKey secretKeys sessionKey session_key sessionData session_data data bindings sql'.split(
    ' ',
  ),
)
