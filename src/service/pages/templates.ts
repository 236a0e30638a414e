import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import nunjucks from 'nunjucks'
import { packageFolder } from '../package-folder.ts'
import { compiledTemplates } from './compiled-templates.ts'
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

/** How all templates are compiled. */
export const TEMPLATE_OPTIONS = {
  autoescape: true,
  throwOnUndefined: true,
  trimBlocks: true,
  lstripBlocks: true,
} as const

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
  // The types of PrecompiledLoader want an array, where nunjucks takes an object.
  const compiled = new nunjucks.PrecompiledLoader(compiledCode(directory) as never)
  const loaders = [compiled, new nunjucks.FileSystemLoader(directory)]
  const environment = new nunjucks.Environment(loaders, TEMPLATE_OPTIONS)
  for (const [name, value] of Object.entries(globals)) environment.addGlobal(name, value)
  environment.getTemplate('base_generic.html', true)
  const names = [...TEMPLATES, ...(withLibrary ? LIBRARY_TEMPLATES : [])]
  const loaded = names.map((name) => [name, environment.getTemplate(name, true)])
  const byName: Record<TemplateName, nunjucks.Template> = Object.fromEntries(loaded)
  return {
    render: (name, context) => byName[name].render(context),
  }
}

/** The code of the templates that are as they were when the bundle was made. */
function compiledCode(directory: string): Record<string, object> {
  const unchanged = Object.entries(compiledTemplates).filter(([name, { digest }]) => {
    try {
      return digest === templateDigest(readFileSync(join(directory, name), 'utf8'))
    } catch {
      return false // loading it says why
    }
  })
  return Object.fromEntries(unchanged.map(([name, { code }]) => [name, code]))
}

export function templateDigest(text: string): string {
  return hash('sha256', text, 'base64')
}
