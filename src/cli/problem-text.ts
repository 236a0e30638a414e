/** An error for the terminal: its name, and a line for each problem, without a stack trace. */
export function problemText(error: unknown): string {
  if (!(error instanceof Error)) return `Error: ${String(error)}`
  const lines = error.message.split('\n').map((line) => line.trim())
  return `${error.name}: ${lines.filter((line) => line !== '').join('\n')}`
}
