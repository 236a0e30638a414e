import { type CommandContext, UsageError } from './command.ts'
import { linesOf } from './lines.ts'

/** Characters of a line at most: more than the largest session. */
const LONGEST_LINE = 64 * 1024 ** 2

/** Lines at most. */
const MOST_LINES = 1000

/**
 * Returns the lines of standard input that are not blank, for a command whose input is a secret. At a terminal, it says
 * what to paste.
 * @throws {UsageError} for an empty input, and for one that is too large.
 */
export async function* pastedLines(
  { input, errors }: Pick<CommandContext, 'input' | 'errors'>,
  what: string,
): AsyncGenerator<string> {
  if (input.isTTY) errors.write(`Paste ${what}, and end with Ctrl-D on a line of its own:\n`)
  let count = 0
  for await (const line of linesOf(input, LONGEST_LINE)) {
    if (line.trim() === '') continue
    count += 1
    if (count > MOST_LINES) throw new UsageError(`the input has more than ${MOST_LINES} lines; pass fewer`)
    yield line
  }
  if (count === 0) throw new UsageError(`standard input is empty; pass ${what}`)
}
