export interface ShellCommand {
  /** Names of the variables that are set for it, or exported by it. */
  readonly variables: readonly string[]
  readonly words: readonly string[]
}

/** The simple commands of a script, as far as documents use the shell: quotes, comments, `&&`, `|`, `;` and `export`. */
export function shellCommands(text: string): ShellCommand[] {
  const commands: ShellCommand[] = []
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    const tokens = [...line.replace(/^\s*\$ /, '').matchAll(TOKEN)].map(([token]) => token)
    const comment = tokens.findIndex((token) => token.startsWith('#'))
    let words: string[] = []
    for (const token of [...(comment < 0 ? tokens : tokens.slice(0, comment)), ';']) {
      if (!/^(?:&&|\|\|?|;|&)$/.test(token)) {
        words.push(token)
        continue
      }
      if (words.length > 0) commands.push(commandOf(words))
      words = []
    }
  }
  return commands
}

const TOKEN = /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;&|])+|&&|\|\|?|;|&/g

function commandOf(words: readonly string[]): ShellCommand {
  const isAssignment = (word: string) => /^[A-Za-z_]\w*=/.test(word)
  const rest = words[0] === 'export' ? words.slice(1) : words
  const first = rest.findIndex((word) => !isAssignment(word))
  const assigned = first < 0 ? rest : rest.slice(0, first)
  return {
    variables: assigned.map((word) => word.slice(0, word.indexOf('='))),
    words: first < 0 ? [] : rest.slice(first),
  }
}
