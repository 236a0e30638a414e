import { fileURLToPath } from 'node:url'
import nunjucks from 'nunjucks'
import type { Frame } from './frame.ts'

const TEMPLATES = ['index.html', 'error.html', 'login.html', 'logged_out.html'] as const

export interface Views {
  /** The page as HTML, every value in it escaped. @throws for a value that the template needs and did not get. */
  render(template: (typeof TEMPLATES)[number], context: Record<string, unknown> & { frame: Frame }): string
}

/**
 * The pages, compiled once: a broken template stops the start and not a visitor.
 * @param globals what every page may use, such as the URL of the style sheet
 */
export function createViews(globals: Record<string, unknown>): Views {
  const directory = fileURLToPath(new URL('../../templates', import.meta.url))
  const environment = new nunjucks.Environment(new nunjucks.FileSystemLoader(directory), {
    autoescape: true,
    throwOnUndefined: true,
    trimBlocks: true,
    lstripBlocks: true,
  })
  for (const [name, value] of Object.entries(globals)) environment.addGlobal(name, value)
  environment.getTemplate('base_generic.html', true)
  const templates = new Map(TEMPLATES.map((name) => [name, environment.getTemplate(name, true)]))
  return {
    render: (name, context) => templates.get(name)?.render(context) ?? '',
  }
}
