/**
 * A text that a terminal shows as it is: control and format characters, which could move the cursor or reverse the
 * direction of writing, become `\u{…}`. Longer texts are cut.
 */
export function terminalText(text: string, longest = 1000): string {
  // Cut before the replacement, too: a session may hold megabytes.
  const start = text.slice(0, longest * 2)
  const characters = Array.from(start)
  const isCut = start.length < text.length || characters.length > longest
  const shown = isCut ? characters.slice(0, longest).join('') : start
  return `${shown.replace(UNSAFE, escaped)}${isCut ? '…' : ''}`
}

/** Control, format, private and lone surrogate characters; separators of lines and paragraphs. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
