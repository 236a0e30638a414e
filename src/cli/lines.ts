import { once } from 'node:events'
import { UsageError } from './command.ts'

export interface LinesOptions {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
  readonly errors: NodeJS.WritableStream
}

/**
 * Converts each input line and writes the result as one line. For a line that cannot be converted (an error with a
 * `code`), writes an empty line, and the line number and the reason on `errors`. Returns the exit status.
 */
export async function convertLines(
  { input, output, errors }: LinesOptions,
  convert: (line: string, number: number) => string,
): Promise<0 | 1> {
  let status: 0 | 1 = 0
  let number = 0
  for await (const line of linesOf(input)) {
    number += 1
    let converted = ''
    try {
      converted = convert(line, number)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      errors.write(`line ${number}: ${error.message}\n`)
      status = 1
    }
    if (!output.write(`${converted}\n`)) await once(output, 'drain')
  }
  return status
}

/**
 * Splits at line feeds only. node:readline would also split at U+2028, which JSON text may contain.
 * @throws {UsageError} for a line of more than `longest` characters; default: no limit.
 */
export async function* linesOf(
  input: NodeJS.ReadableStream,
  longest: number = Infinity,
): AsyncGenerator<string> {
  let line = ''
  for await (const chunk of input.setEncoding('utf8')) {
    const [end = '', ...next] = String(chunk).split('\n')
    line += end
    if (line.length > longest)
      throw new UsageError(`a line of the input has more than ${longest} characters; pass shorter ones`)
    for (const start of next) {
      yield line.replace(/\r$/, '')
      line = start
    }
  }
  if (line !== '') yield line
}
