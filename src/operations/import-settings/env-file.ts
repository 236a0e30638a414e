import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SETTING_SECTIONS, type SettingName, settingDefinitions } from '../../service/settings/definitions.ts'
import { envLine, parseEnvFile } from '../../service/settings/environment.ts'

/** The file that is written, and what it replaces. */
export interface EnvFile {
  readonly path: string
  /** The whole new text. */
  readonly text: string
  /** The text that is there now; null without such a file. */
  readonly before: string | null
  /** Names of variables that the file has already, and keeps. */
  readonly kept: readonly string[]
  /** Names of variables that the file has now, and that go. */
  readonly dropped: readonly string[]
}

/** The value of a setting cannot be written into a `.env` file. */
export class CannotWriteSetting extends Error {
  override name = 'CannotWriteSetting'
  readonly code: string = 'ERR_CANNOT_WRITE_SETTING'
}

/**
 * The text of a `.env` file with these settings. Variables of an existing file that a Django project does not decide stay,
 * such as PORT or DJANGO_UPSTREAM. Nothing is written.
 * @throws {CannotWriteSetting}
 */
export async function composeEnvFile(
  path: string,
  { values, managePy }: { values: ReadonlyMap<SettingName, string>; managePy: string },
): Promise<EnvFile> {
  const before = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  const old = Object.entries(parseEnvFile(before ?? '', [])).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  const kept = old.filter(([name]) => !IMPORTED.has(name))
  const sections = Object.entries(SETTING_SECTIONS).map(([section, { title }]) => ({
    title,
    lines: settingDefinitions()
      .filter((definition) => definition.section === section)
      .flatMap(({ name }) => (values.has(name) ? [[name, values.get(name) ?? ''] as const] : [])),
  }))
  const text = [
    `# The settings of ${managePy.replace(/[\r\n]/g, ' ')}, written by \`koa-django-sessions init\`.`,
    '# It holds secrets: keep it out of version control. A variable of the environment wins over its line here.',
    ...[...sections, { title: 'Of this service alone', lines: kept }]
      .filter(({ lines }) => lines.length > 0)
      .map(
        ({ title, lines }) => `\n# ${title}\n${lines.map(([name, value]) => lineOf(name, value)).join('\n')}`,
      ),
  ].join('\n')
  return {
    path,
    text: `${text}\n`,
    before,
    kept: kept.map(([name]) => name),
    dropped: old.map(([name]) => name).filter((name) => isImported(name) && !values.has(name)),
  }
}

/** The settings that a Django project decides. */
const IMPORTED: ReadonlySet<string> = new Set(
  settingDefinitions()
    .filter(({ name, django }) => django !== null || name === 'DJANGO_VERSION')
    .map(({ name }) => name),
)

/** Whether a Django project decides this setting. */
export function isImported(name: string): name is SettingName {
  return IMPORTED.has(name)
}

/** Checked by reading it back: a wrong character of a key would lose every session. */
function lineOf(name: string, value: string): string {
  const line = envLine(name, value)
  if (line === null || parseEnvFile(`${line}\n`, [])[name] !== value)
    throw new CannotWriteSetting(
      `${name} has a carriage return or a null character, which a .env file cannot hold; set it in the environment`,
    )
  return line
}

/**
 * Writes the file, readable for its owner only. Another process sees the old file or the new one, and never a part. The
 * replaced file stays beside it, with `.bak` after its name.
 */
export async function writeEnvFile({ path, text, before }: EnvFile): Promise<{ backup: string | null }> {
  const backup = before === null ? null : `${path}.bak`
  if (backup !== null && before !== null) await writeWhole(backup, before)
  await writeWhole(path, text)
  return { backup }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
