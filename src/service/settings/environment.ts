import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { quoted } from '../../checks/quoted.ts'
import { type NumericSetting, SETTINGS, type SettingName } from './definitions.ts'

/** The variables that are read: settings of the table in definitions.ts, and those of Python's temporary folder. */
export type VariableName = SettingName | 'TMPDIR' | 'TEMP' | 'TMP'

/** Reads variables one by one. A wrong value adds to `problems`, and the default takes its place. */
export interface Environment {
  /** The text, or null when the variable is not set or empty. */
  text(name: VariableName): string | null
  boolean(name: SettingName, byDefault: boolean): boolean
  /** Within the range that definitions.ts has for it. */
  number(name: NumericSetting, byDefault: number): number
  oneOf<T extends string>(name: SettingName, choices: readonly T[], byDefault: T): T
  /** Names of the variables that are set. */
  names(): string[]
}

export function createEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Environment {
  function text(name: string): string | null {
    return variables[name] || null
  }
  function parsed<T>(
    name: string,
    byDefault: T,
    parse: (value: string) => T | undefined,
    expected: string,
  ): T {
    const value = text(name)
    if (value === null) return byDefault
    const result = parse(value.trim())
    if (result === undefined) problems.push(`${name} is ${quoted(value)}; set it to ${expected}`)
    return result ?? byDefault
  }
  return {
    text,
    boolean(name, byDefault) {
      return parsed(name, byDefault, (value) => BOOLEANS.get(value.toLowerCase()), 'True or False')
    },
    number(name, byDefault) {
      const { type, range } = SETTINGS[name]
      const [min, max] = range
      const integer = type === 'integer'
      const read = (value: string) => {
        const number = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
        return number >= min && number <= max && (!integer || Number.isInteger(number)) ? number : undefined
      }
      return parsed(name, byDefault, read, `${integer ? 'an integer' : 'a number'} from ${min} to ${max}`)
    },
    oneOf(name, choices, byDefault) {
      return parsed(
        name,
        byDefault,
        (value) => choices.find((choice) => choice === value),
        choices.join(', '),
      )
    },
    names() {
      return Object.keys(variables).filter((name) => text(name) !== null)
    },
  }
}

/** A JSON array, or words separated by blanks or commas. */
export function readList(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text)
    if (Array.isArray(list)) return list.map(String)
  } catch {
    // It is not JSON.
  }
  return text.split(/[\s,]+/).filter((item) => item !== '')
}

/** The variables in the file `.env` of this folder; empty without such a file. */
export function readEnvFile(folder: string, problems: string[]): Record<string, string | undefined> {
  return parseEnvFile(readIfThere(join(folder, '.env'), problems), problems)
}

/** The variables in the text of a `.env` file. */
export function parseEnvFile(content: string, problems: string[]): Record<string, string | undefined> {
  const variables = parseEnv(content)
  for (const [, name = '', value = ''] of content.matchAll(UNQUOTED_HASH)) {
    // Node cuts the value here, python-dotenv does not; half a secret key would verify nothing.
    if (variables[name] === value)
      problems.push(`${name} in .env holds a # outside quotes; put the value into quotes: '…'`)
  }
  for (const [, name = '', value = ''] of content.matchAll(ESCAPED)) {
    if (variables[name] === value) variables[name] = unescapeBackticks(value)
  }
  return variables
}

/**
 * Writes one variable of a `.env` file, so that `parseEnvFile` reads this value. In single quotes `$` is a dollar for
 * every reader of such files. A file has no escape for a quote; in backticks, `\u0060` is read as a backtick
 * and `\u005c` as a backslash. Null for a value with a carriage return or a null character, which no reader keeps.
 */
export function envLine(name: string, value: string): string | null {
  if (/[\r\0]/.test(value)) return null
  if (/^[\w./:@%+,=-]+$/.test(value)) return `${name}=${value}`
  if (!value.includes("'")) return `${name}='${value}'`
  if (!/["\\$`\n]/.test(value)) return `${name}="${value}"`
  const escaped = value.replaceAll('\\', '\\u005c').replaceAll('`', '\\u0060')
  return `${name}=\`${escaped}\``
}

/** A value in backticks with an escape. */
const ESCAPED = /^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*`([^`]*\\u00(?:5c|60)[^`]*)`/gm

function unescapeBackticks(value: string): string {
  return value.replace(/\\u00(5c|60)/g, (_, code: string) => (code === '60' ? '`' : '\\'))
}

/** The usual words in environments of Django projects, in lower case. */
export const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
])

const UNQUOTED_HASH = /^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*((?:[^\s'"`#][^\n#]*)?)(?<!\s)#/gm

function readIfThere(filename: string, problems: string[]): string {
  try {
    return readFileSync(filename, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (code === null) throw error
    if (code !== 'ENOENT')
      problems.push(
        `${filename} cannot be read (${code}); make it a file that this process may read, or remove it`,
      )
    return ''
  }
}
