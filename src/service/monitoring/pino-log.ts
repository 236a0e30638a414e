import { writeSync } from 'node:fs'
import { type DestinationStream, pino } from 'pino'
import type { LogLevel } from '../settings/settings.ts'
import type { Log } from './log.ts'

/**
 * Standard output. The lines of some milliseconds are written together: a write takes another thread, which costs more CPU
 * time than the line. A warning or an error is written at the end of its turn of the event loop, with the lines before it.
 * The write is asynchronous, so that no request waits for a slow reader of the log. `periodicFlush` is for lines logged
 * during a write, when `flush` does nothing. The rest is written when the process exits: `written` waits until no earlier
 * line would then come later, or not at all.
 */
export function standardOutput(): DestinationStream & { written(): Promise<void> } {
  const output = untilClosed(pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 100 }))
  let isFlushing = false
  let isUrgent = false
  return {
    write(line) {
      output.write(line)
      if (!isUrgent && !MINOR.test(line)) {
        isUrgent = true
        setImmediate(() => {
          isUrgent = false
          output.flush()
        })
      }
      if (isFlushing) return
      isFlushing = true
      setTimeout(() => {
        isFlushing = false
        output.flush()
      }, LATEST)
    },
    async written() {
      // The first flush waits for the write that is running, the second writes what was logged meanwhile.
      for (let flushes = 0; flushes < 2; flushes += 1) {
        await new Promise<void>((resolve) => output.flush(() => resolve())) // A pipe has no fsync: that error says nothing.
      }
    },
  }
}

/** A line of the levels debug and info. */
const MINOR = /^\{"level":[123]0,/

/** Milliseconds after which a minor line is written, unless the reader of the log is slower. */
const LATEST = 40

type Output = ReturnType<typeof pino.destination>

/**
 * When the terminal is closed, logging stops and the service goes on. pino handles a closed pipe (EPIPE); on a closed
 * terminal (EIO) it would crash, and on exit retry for ever to write the rest.
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

/** Readable lines on standard output, each written synchronously. */
export function readableOutput({ colors }: { colors: boolean }): DestinationStream {
  const output = untilClosed(pino.destination({ dest: 1, sync: true }))
  return { write: (line) => void output.write(readableLine(line, { colors })) }
}

/**
 * A readable line of the log: the local time, the level, the event, its message, and the other fields; below it the stack
 * frames of an error. Control characters are escaped, because a path may contain terminal commands.
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

/** pino's levels, with their names and ANSI colours. */
const LEVELS: ReadonlyMap<unknown, readonly [name: string, color: string]> = new Map([
  [10, ['TRACE', DIM]],
  [20, ['DEBUG', DIM]],
  [30, ['INFO', '32']],
  [40, ['WARN', '33']],
  [50, ['ERROR', '31']],
  [60, ['FATAL', '31']],
])

/** HH:MM:SS in this machine's time zone. */
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

/** Escapes control characters and characters that change the direction of text. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Writes one JSON line per event. No code logs a secret; as a second safeguard, fields with the names of SECRETS are redacted. */
export function createLog(level: LogLevel, destination: DestinationStream = standardOutput()): Log {
  // Not by pino's `redact`, which takes ten times as long as the rest of pino's work for an event.
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
  if (!mayNameSecret(fields)) return fields
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, SECRETS.has(name) ? '[redacted]' : censor(value)]),
  )
}

/** Most events have nothing to censor, and need no copy, which takes half as long as the rest of pino's work. */
function mayNameSecret(fields: Record<string, unknown>): boolean {
  for (const name in fields) if (SECRETS.has(name) || typeof fields[name] === 'object') return true
  return false
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
