import { type DestinationStream, pino } from 'pino'
import type { LogLevel } from './settings.ts'
import type { Log } from './web/log.ts'

/** One JSON line an event on standard output. Nothing logs a secret; should something ever, by these names it does not. */
export function createLog(level: LogLevel, destination: DestinationStream = pino.destination(1)): Log {
  const redact = { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' }
  const timestamp = pino.stdTimeFunctions.isoTime
  const logger = pino({ level, base: null, timestamp, messageKey: 'event', redact }, destination)
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  }
}

const SECRETS =
  'authorization cookie password secretKey secretKeys sessionKey session_key sessionData session_data data bindings sql'.split(
    ' ',
  )
