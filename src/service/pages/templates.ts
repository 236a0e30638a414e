import { fileURLToPath } from 'node:url'
import nunjucks from 'nunjucks'
import { packageFolder } from '../package-folder.ts'
import type { Layout } from './layout.ts'

const TEMPLATES = ['index.html', 'error.html', 'login.html', 'logged_out.html', 'sessions.html'] as const
/** The pages that only the embedded demo has. */
const LIBRARY_TEMPLATES = [
  'book_list.html',
  'book_detail.html',
  'author_list.html',
  'author_detail.html',
  'borrowed_list.html',
] as const
type TemplateName = (typeof TEMPLATES | typeof LIBRARY_TEMPLATES)[number]

/** The compiled page templates. */
export interface Templates {
  /** Returns the page as HTML with every value escaped. @throws when a value that the template uses is missing. */
  render(template: TemplateName, context: Record<string, unknown> & { layout: Layout }): string
}

/**
 * Compiles the templates once, so that a broken template fails at the start and not on a request.
 * @param globals values that every template may use, such as the URL of the style sheet
 */
export function createTemplates(
  globals: Record<string, unknown>,
  { withLibrary = false }: { withLibrary?: boolean } = {},
): Templates {
  const directory = fileURLToPath(new URL('templates', packageFolder))
  const environment = new nunjucks.Environment(new nunjucks.FileSystemLoader(directory), {
    autoescape: true,
    throwOnUndefined: true,
    trimBlocks: true,
    lstripBlocks: true,
  })
  for (const [name, value] of Object.entries(globals)) environment.addGlobal(name, value)
  environment.getTemplate('base_generic.html', true)
  const names = [...TEMPLATES, ...(withLibrary ? LIBRARY_TEMPLATES : [])]
  const compiled = names.map((name) => [name, environment.getTemplate(name, true)])
  const byName: Record<TemplateName, nunjucks.Template> = Object.fromEntries(compiled)
  return {
    render: (name, context) => byName[name].render(context),
  }
}
