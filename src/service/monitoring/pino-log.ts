import { writeSync } from 'node:fs'
import { type DestinationStream, pino } from 'pino'
import type { LogLevel } from '../settings/settings.ts'
import type { Log } from './log.ts'

/**
 * Standard output: the lines of one turn of the event loop are one write, since a write of each would cost more than the
 * line, and in a thread, so that no visitor waits for whoever reads the log. The period is for lines that come while a
 * write is on its way, when `flush` does nothing; what is left when the process exits is written then.
 */
function standardOutput(): DestinationStream {
  const output = untilClosed(pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 100 }))
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

type Output = ReturnType<typeof pino.destination>

/**
 * Ends the log, and not the service, with the terminal that it was written to. pino does so for a pipe that is closed
 * (EPIPE); at a terminal that is gone (EIO) it would crash, and wait for ever to write the rest when the process exits.
 */
function untilClosed(output: Output): Output {
  const flushSync = output.flushSync.bind(output)
  let isClosed = false
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EIO' && error.code !== 'EPIPE') throw error
    isClosed = true
    output.write = () => true
  })
  output.flushSync = () => {
    if (!isClosed && isOpen()) flushSync()
  }
  return output
}

function isOpen(): boolean {
  try {
    writeSync(1, '')
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'EPIPE'))
  }
}

/** Lines for a person on standard output, each written before the next thing happens. */
export function readableOutput({ colors }: { colors: boolean }): DestinationStream {
  const output = untilClosed(pino.destination({ dest: 1, sync: true }))
  return { write: (line) => void output.write(readableLine(line, { colors })) }
}

/**
 * A line of the log for a person: the time here, the level, the event, what it says, and the other fields; the frames of
 * an error below it. What a terminal would take for a command is escaped: a path may come from anywhere.
 */
export function readableLine(json: string, { colors }: { colors: boolean }): string {
  const { time, level, event, message, warning, frames, ...fields }: Record<string, unknown> =
    JSON.parse(json)
  const [name, color] = LEVELS.get(level) ?? ['', '']
  const paint = (text: string, code: string) => (colors && code !== '' ? `\x1b[${code}m${text}\x1b[0m` : text)
  const says = [message, warning].filter((text) => text !== undefined).map((text) => printable(String(text)))
  const others = Object.entries(fields).map(([key, value]) => `${paint(`${key}=`, DIM)}${shown(value)}`)
  const head = [paint(clock(time), DIM), paint(name.padEnd(5), color), printable(String(event))]
  const below = Array.isArray(frames)
    ? frames.map((frame) => `\n    ${paint(printable(String(frame)), DIM)}`)
    : []
  return `${[...head, ...says, ...others].join(' ')}${below.join('')}\n`
}

const DIM = '2'

/** pino's numbers, with the colour in which a terminal shows each. */
const LEVELS: ReadonlyMap<unknown, readonly [name: string, color: string]> = new Map([
  [10, ['TRACE', DIM]],
  [20, ['DEBUG', DIM]],
  [30, ['INFO', '32']],
  [40, ['WARN', '33']],
  [50, ['ERROR', '31']],
  [60, ['FATAL', '31']],
])

/** HH:MM:SS in the zone of this machine. */
function clock(time: unknown): string {
  const date = new Date(String(time))
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}

function shown(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+,%-]+$/.test(value)) return value
  return printable(JSON.stringify(value))
}

/** Without control characters, and without those that turn the direction of text. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
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
