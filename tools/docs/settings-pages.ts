import {
  type NamedSetting,
  SETTING_SECTIONS,
  type SettingDefinition,
  settingDefinitions,
} from '../../src/service/settings/definitions.ts'
import { code, generatedFrom, table } from './markdown.ts'

type SectionName = SettingDefinition['section']

const SOURCE = 'src/service/settings/definitions.ts'

/** docs/settings.md: every setting in tables, a section each. */
export function settingsPage(): string {
  const sections = sectionNames().map((section) => {
    const { title, page } = SETTING_SECTIONS[section]
    const rows = settingsOf(section).map((setting) => [
      code(setting.name),
      shapeOf(setting),
      defaultOf(setting),
      meaningOf(setting),
      djangoOf(setting),
    ])
    return `## ${title}\n\nSee [${page.replace('.md', '')}](${page}).\n\n${table(HEAD, rows)}\n`
  })
  return `${generatedFrom(SOURCE)}\n# Settings\n\n${INTRODUCTION}\n\n${sections.join('\n')}`
}

const HEAD = ['setting', 'value', 'default', 'meaning', 'in Django']

const INTRODUCTION = `The service reads its settings from the environment and from a file \`.env\` in its working folder. The environment wins
over the file. An empty value counts as not set. The start reports every problem at once.

- The names and meanings are those of Django where Django has such a setting. Such a setting must have the same value on
  both sides.
- A boolean is \`True\` or \`False\`; \`1\`, \`yes\`, \`on\` and \`0\`, \`no\`, \`off\` are accepted, too.
- A list has commas or blanks between its items, or is a JSON array.
- [.env.example](../.env.example) lists the same settings, to be copied to \`.env\`.`

/** .env.example: every setting with its default, commented out. */
export function envExample(): string {
  const sections = sectionNames().map((section) => {
    const { title, page } = SETTING_SECTIONS[section]
    const settings = settingsOf(section).map((setting) => [
      ...exampleComment(setting).map((line) => `# ${line}`),
      `#${setting.name}=${setting.default ?? ''}`,
    ])
    return [`## ${title}: docs/${page}`, ...settings.flat()].join('\n')
  })
  return `${ENV_HEAD}\n\n${sections.join('\n\n')}\n`
}

const ENV_HEAD = `# Copy to .env. The environment wins over this file; an empty value counts as not set.
# Put a value that holds a # into single quotes: DJANGO_SECRET_KEY='…#…'
# A list has commas or blanks between its items, or is a JSON array. docs/settings.md has the same settings in tables.
# Generated from ${SOURCE} by \`npm run docs\`.`

/** Plain text: a person reads it in an editor, so Markdown's marks go. */
function exampleComment(setting: NamedSetting): string[] {
  const choices = setting.choices === undefined ? '' : ` One of ${setting.choices.join(', ')}.`
  const unit = setting.unit === undefined ? '' : ` In ${setting.unit}.`
  const unset = setting.unset === undefined ? '' : ` Not set: ${setting.unset}.`
  const example =
    setting.example === undefined ? [] : [`Example: ${setting.name}=${shellWord(setting.example)}`]
  const forms = (setting.forms ?? []).map((form) => `  ${form}`)
  const text = `${setting.description}${choices}${unit}${unset}`.replaceAll('`', '')
  return [...wrapped(text, 118), ...forms, ...example]
}

/** As a line of .env: in quotes where it needs them. */
function shellWord(value: string): string {
  return /^[\w./:@,-]*$/.test(value) ? value : `'${value}'`
}

function wrapped(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

function sectionNames(): SectionName[] {
  return Object.keys(SETTING_SECTIONS) as SectionName[]
}

function settingsOf(section: SectionName): NamedSetting[] {
  return settingDefinitions().filter((setting) => setting.section === section)
}

function shapeOf({ type, choices, range, unit }: SettingDefinition): string {
  if (choices !== undefined) return choices.map(code).join(', ')
  if (type === 'boolean') return '`True`, `False`'
  if (range === undefined) return type
  const [min, max] = range
  return `${unit ?? type} (${type === 'integer' && unit !== undefined ? 'integer, ' : ''}${min} to ${max})`
}

function defaultOf({ default: value, unset }: SettingDefinition): string {
  return value === null ? (unset ?? 'none') : code(value)
}

function meaningOf({ description, forms = [], example }: SettingDefinition): string {
  const shapes = forms.length === 0 ? '' : ` Forms: ${forms.map(code).join(', ')}.`
  const shown = example === undefined || forms.length > 0 ? '' : ` Example: ${code(example)}.`
  return `${description}${shapes}${shown}`
}

function djangoOf({ name, django }: NamedSetting): string {
  if (django === null) return '–'
  return django === name ? 'the same' : /^[A-Z_]+(\[.*\])?$/.test(django) ? code(django) : django
}
