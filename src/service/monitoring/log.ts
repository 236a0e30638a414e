/**
 * What the web layer asks of a logger: one line per event, with a stable dotted name and plain fields.
 * `error`: someone must act. `warn`: suspicious. `info`: life cycle.
 */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export type LogFields = Record<string, unknown>

/**
 * An error as log fields: its name, code and stack frames, and the same of its causes. Messages only of errors with an
 * `ERR_…` code, ours and Node's: those of drivers and of Knex quote keys and data of the row they failed on.
 */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: typeof error }
  const code = 'code' in error ? error.code : undefined
  return {
    error: error.name,
    ...(code !== undefined && { code }),
    ...(typeof code === 'string' && code.startsWith('ERR_') && { message: error.message }),
    frames: frames(error),
    ...(error.cause !== undefined && { cause: errorFields(error.cause) }),
  }
}

function frames({ stack = '' }: Error): string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim())
}
