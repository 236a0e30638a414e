/**
 * Writes the one JSON document of a command that was called with `--json`. `schema` names the command and the version of
 * its document, e.g. `doctor/1`; the version rises when a field changes its meaning or goes.
 */
export function writeJson(
  output: NodeJS.WritableStream,
  schema: `${string}/${number}`,
  document: object,
): void {
  output.write(`${JSON.stringify({ schema: `koa-django-sessions/${schema}`, ...document }, null, 2)}\n`)
}
