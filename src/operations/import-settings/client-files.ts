/** Files in which the clients of databases keep addresses and passwords, as text. */

/**
 * The options in a group of a MySQL option file, with `_` for `-` in their names, which are the same there.
 * Source: MySQL's manual, "Using Option Files".
 */
export function readOptionFile(text: string, group: string): Map<string, string> {
  const found = new Map<string, string>()
  let current = ''
  for (const line of text.split(/\r?\n/).map((one) => one.trim())) {
    const [, name] = /^\[([^\]]*)\]/.exec(line) ?? []
    if (name !== undefined) current = name.trim()
    const [, key, value = ''] = /^([\w-]+)\s*(?:=\s*(.*))?$/.exec(line) ?? []
    if (key !== undefined && current === group) found.set(key.replaceAll('-', '_'), optionValue(value))
  }
  return found
}

function optionValue(text: string): string {
  const [, , quotedText] = /^(['"])(.*)\1/.exec(text) ?? []
  const value = quotedText ?? text.replace(/\s+#.*$/, '').trim()
  return value.replace(/\\([bntrs\\])/g, (_, letter: string) => ESCAPES[letter] ?? letter)
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  n: '\n',
  t: '\t',
  r: '\r',
  s: ' ',
  '\\': '\\',
}

/** The parameters of one service; null when the file does not have it. Source: PostgreSQL's manual, "The Connection Service File". */
export function readServiceFile(text: string, service: string): Map<string, string> | null {
  let found: Map<string, string> | null = null
  let isIn = false
  for (const line of text.split(/\r?\n/).map((one) => one.trim())) {
    const [, name] = /^\[(.*)\]$/.exec(line) ?? []
    if (name !== undefined) {
      isIn = name === service && found === null
      if (isIn) found = new Map()
    } else if (isIn && !line.startsWith('#')) {
      const [, key, value = ''] = /^([^=]+)=(.*)$/.exec(line) ?? []
      if (key !== undefined) found?.set(key, value)
    }
  }
  return found
}

/** What a line of a password file is for. */
export interface PasswordFor {
  readonly host: string
  readonly port: string
  readonly database: string
  readonly user: string
}

/** The password of the first line that fits; null without one. Source: PostgreSQL's manual, "The Password File". */
export function readPasswordFile(text: string, { host, port, database, user }: PasswordFor): string | null {
  // A socket is named by the word localhost there.
  const wanted = [host.startsWith('/') ? 'localhost' : host, port, database, user]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue
    const parts = [...line.matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map(([, part = '']) => part)
    const fits = wanted.every((one, at) => parts[at] === '*' || unescaped(parts[at] ?? '') === one)
    if (fits && parts[4] !== undefined) return unescaped(parts[4])
  }
  return null
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, '$1')
}
