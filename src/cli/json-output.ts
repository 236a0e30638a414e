/**
 * Writes the one JSON document of a command that was called with `--json`. `schema` names the command and the version of
 * its document, e.g. `doctor/1`; the version rises when a field changes its meaning or goes. Control and format characters
 * are escaped, which JSON allows wherever they can occur: the reader may be a terminal.
 */
export function writeJson(
  output: NodeJS.WritableStream,
  schema: `${string}/${number}`,
  document: object,
): void {
  const json = JSON.stringify({ schema: `koa-django-sessions/${schema}`, ...document }, null, 2)
  output.write(`${json.replace(UNSAFE, escapeUnits)}\n`)
}

/** JSON.stringify escapes the others below U+0020; line feeds stand between its lines. */
const UNSAFE = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => {
    const unit = character.charCodeAt(at).toString(16)
    return `\\u${unit.padStart(4, '0')}`
  }).join('')
}
