/**
 * The logger of the service: one line per event, with a stable dotted name and plain fields.
 * `error`: an operator must act. `warn`: suspicious. `info`: normal operation.
 */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export type LogFields = Record<string, unknown>

/**
 * Returns an error as log fields: its name, code and stack frames, and the same for its causes. The message is included
 * only for errors with an `ERR_…` code, which are this package's or Node's. Messages of drivers and of Knex may quote
 * keys and data of a row.
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
