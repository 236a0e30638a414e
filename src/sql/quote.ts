import type { DatabaseKind } from '../django/datetime.ts'

/** Quotes a name as Knex does: each part between dots by itself. */
export function quoteName(name: string, dialect: DatabaseKind): string {
  const mark = dialect === 'mysql' ? '`' : '"'
  return name
    .split('.')
    .map((part) => `${mark}${part.replaceAll(mark, mark + mark)}${mark}`)
    .join('.')
}
