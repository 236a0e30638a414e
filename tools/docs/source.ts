import { readdirSync, readFileSync } from 'node:fs'

const src = new URL('../../src/', import.meta.url)

/** A class of errors with a code of its own. */
export interface ErrorClass {
  readonly code: string
  readonly name: string
  /** Whether index.ts exports it. */
  readonly isPublic: boolean
}

/** Each class under src/ whose errors have an `ERR_…` code, sorted by code. */
export function errorClasses(): ErrorClass[] {
  const exported = readFileSync(new URL('index.ts', src), 'utf8')
  const found = sources().flatMap(({ text }) =>
    [...text.matchAll(ERROR_CLASS)].map(([, name = '', code = '']) => ({
      code,
      name,
      isPublic: new RegExp(`\\b${name}\\b`).test(exported),
    })),
  )
  return found.sort((a, b) => compare(a.code, b.code) || compare(a.name, b.name))
}

/** `class Name extends …` and the next `code` in its body, whose first lines are properties. */
const ERROR_CLASS =
  /class (\w+) extends \w+ \{(?:(?!\n\}|class )[\s\S])*?readonly code: string = '(ERR_\w+)'/g

/** The levels at which each event of the log is written, by the event's name, sorted. */
export function logEvents(): ReadonlyMap<string, readonly string[]> {
  const found = sources().flatMap(({ text }) =>
    [...text.matchAll(LOG_CALL)].flatMap(([, level, event = '']) =>
      (level === undefined ? VARIABLE_LEVELS : [level]).map((one) => ({ event, level: one })),
    ),
  )
  const events = [...new Set(found.map(({ event }) => event))].sort(compare)
  return new Map(
    events.map((event) => {
      const levels = found.filter((one) => one.event === event).map(({ level }) => level)
      return [event, [...new Set(levels)].sort(compare)] as const
    }),
  )
}

/** `log.warn('event', …)` and `log[level]('event', …)`. */
const LOG_CALL = /\blog(?:\.(debug|info|warn|error)|\[level\])\(\s*'([^']+)'/g

/** A request is logged at `info`, a health check at `debug` (src/service/monitoring/request-log.ts). */
const VARIABLE_LEVELS: readonly string[] = ['debug', 'info']

/** The text of each file under src/. */
export function sources(): { file: string; text: string }[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ file, text: readFileSync(new URL(file, src), 'utf8') }))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
