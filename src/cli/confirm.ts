import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type CommandContext, UsageError } from './command.ts'

/**
 * Whether the person at the terminal answers `yes`. The question is written on `errors`. Ctrl-C and the end of the input
 * count as no.
 * @throws {UsageError} without a terminal, where only `--yes` can answer.
 */
export async function confirm({ input, errors }: CommandContext, question: string): Promise<boolean> {
  if (!input.isTTY || !errors.isTTY)
    throw new UsageError(`${question}\nThere is no terminal to answer; add --yes to go on`)
  const lines = createInterface({ input, output: errors })
  try {
    errors.write(`${question} Type yes to go on: `)
    const ended = new AbortController()
    lines.once('SIGINT', () => lines.close())
    lines.once('close', () => ended.abort())
    const [answer] = await once(lines, 'line', { signal: ended.signal }).catch(() => [''])
    return String(answer).trim().toLowerCase() === 'yes'
  } finally {
    lines.close()
  }
}
