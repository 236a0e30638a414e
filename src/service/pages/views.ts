import { fileURLToPath } from 'node:url'
import nunjucks from 'nunjucks'
import { packageFolder } from '../package-folder.ts'
import type { Frame } from './layout.ts'

const TEMPLATES = ['index.html', 'error.html', 'login.html', 'logged_out.html'] as const
type TemplateName = (typeof TEMPLATES)[number]

export interface Views {
  /** The page as HTML, every value in it escaped. @throws for a value that the template needs and did not get. */
  render(template: TemplateName, context: Record<string, unknown> & { frame: Frame }): string
}

/**
 * The pages, compiled once: a broken template stops the start and not a visitor.
 * @param globals what every page may use, such as the URL of the style sheet
 */
export function createViews(globals: Record<string, unknown>): Views {
  const directory = fileURLToPath(new URL('templates', packageFolder))
  const environment = new nunjucks.Environment(new nunjucks.FileSystemLoader(directory), {
    autoescape: true,
    throwOnUndefined: true,
    trimBlocks: true,
    lstripBlocks: true,
  })
  for (const [name, value] of Object.entries(globals)) environment.addGlobal(name, value)
  environment.getTemplate('base_generic.html', true)
  const compiled = TEMPLATES.map((name) => [name, environment.getTemplate(name, true)])
  const templates: Record<TemplateName, nunjucks.Template> = Object.fromEntries(compiled)
  return {
    render: (name, context) => templates[name].render(context),
  }
}
