/** The pages that people read, and the blocks of code in them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../support/places.ts'

export interface Page {
  /** From the project's folder. */
  readonly path: string
  readonly text: string
}

export interface Block {
  /** `docs/library.md:12`, the line of the fence. */
  readonly place: string
  readonly page: string
  /** The words after the fence: `ts`, `sh`, `sql mysql`. */
  readonly language: string
  readonly text: string
}

/** README.md and the pages of docs/. */
export function manual(): Page[] {
  const docs = readdirSync(join(projectFolder, 'docs'), { recursive: true, encoding: 'utf8' })
  const paths = docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)
  return ['README.md', ...paths.sort((a, b) => (a < b ? -1 : 1))].map(readPage)
}

/** A page by its path from the project's folder. */
export function readPage(path: string): Page {
  return { path, text: readFileSync(join(projectFolder, path), 'utf8') }
}

/** The fenced blocks of a page. */
export function blocksOf({ path, text }: Page): Block[] {
  const blocks: Block[] = []
  let open: { fence: string; language: string; line: number; lines: string[] } | null = null
  for (const [index, line] of text.split('\n').entries()) {
    const [, indent = '', fence = '', language = ''] = /^( *)(`{3,}|~{3,}) *(.*?) *$/.exec(line) ?? []
    if (open === null) {
      if (fence !== '') open = { fence: indent + fence, language, line: index + 1, lines: [] }
    } else if (fence !== '' && language === '' && (indent + fence).startsWith(open.fence)) {
      blocks.push({
        place: `${path}:${open.line}`,
        page: path,
        language: open.language,
        text: open.lines.map((one) => `${one}\n`).join(''),
      })
      open = null
    } else {
      // A block inside a list is indented as its fence is.
      open.lines.push(line.replace(new RegExp(`^ {0,${/^ */.exec(open.fence)?.[0].length ?? 0}}`), ''))
    }
  }
  if (open !== null) throw new Error(`${path}:${open.line}: this block has no end`)
  return blocks
}

/** The same text with its blocks emptied, so that lines keep their numbers. */
export function withoutBlocks(page: Page): string {
  const lines = page.text.split('\n')
  for (const { place, text } of blocksOf(page)) {
    const start = Number(place.split(':').at(-1))
    const count = text.split('\n').length + 1
    for (let line = start - 1; line < start - 1 + count; line += 1) lines[line] = ''
  }
  return lines.join('\n')
}
