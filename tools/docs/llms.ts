import { existsSync, readFileSync } from 'node:fs'

const project = new URL('../../', import.meta.url)

/**
 * llms.txt (https://llmstxt.org): the pages of the docs' index, docs/README.md, with addresses from the project's folder.
 * Null where there is no index. The index has a line for each page: `- [title](page.md): sentence`.
 */
export function llmsText(): string | null {
  const index = new URL('docs/README.md', project)
  if (!existsSync(index)) return null
  const { name, description } = JSON.parse(readFileSync(new URL('package.json', project), 'utf8'))
  return llmsOf(readFileSync(index, 'utf8'), { name, description })
}

/** The same for the text of an index. Headings of the second level stay, where pages are below them. */
export function llmsOf(index: string, { name, description }: { name: string; description: string }): string {
  const sections: { title: string; pages: string[] }[] = [{ title: 'Documentation', pages: [] }]
  for (const line of index.split('\n')) {
    const [, title] = /^## (.+)$/.exec(line) ?? []
    if (title !== undefined) sections.push({ title, pages: [] })
    const [, page, href = '', sentence] = /^[-*] \[([^\]]+)\]\(([^)]+)\)[:.]? ?(.*)$/.exec(line) ?? []
    if (page !== undefined)
      sections
        .at(-1)
        ?.pages.push(`- [${page}](${fromProject(href)})${sentence === '' ? '' : `: ${sentence}`}`)
  }
  const parts = sections
    .filter(({ pages }) => pages.length > 0)
    .map(({ title, pages }) => `## ${title}\n\n${pages.join('\n')}\n`)
  return `# ${name}\n\n> ${description}\n\n${parts.join('\n')}`
}

/** An address beside docs/README.md, seen from the project's folder. */
function fromProject(href: string): string {
  if (/^[a-z]+:/i.test(href)) return href
  return new URL(href, 'file:///docs/').href.slice('file:///'.length)
}
