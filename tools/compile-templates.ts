import { globSync, readFileSync } from 'node:fs'
import nunjucks from 'nunjucks'
import { TEMPLATE_OPTIONS, templateDigest } from '../src/service/pages/templates.ts'

const templates = new URL('../templates/', import.meta.url)

/** Returns the text of a module like src/service/pages/compiled-templates.ts, with all templates in it. */
export function compiledTemplatesModule(): string {
  const env = new nunjucks.Environment(null, TEMPLATE_OPTIONS)
  const entries = globSync('*.html', { cwd: templates }).map((name) => {
    const text = readFileSync(new URL(name, templates), 'utf8')
    const code = nunjucks.precompileString(text, { name, env, wrapper: asFunction })
    return `${JSON.stringify(name)}: { digest: ${JSON.stringify(templateDigest(text))}, code: ${code} }`
  })
  return `export const compiledTemplates = {\n${entries.join(',\n')}\n}\n`
}

/** Its type says that it takes one template, but it gets a list. */
function asFunction(templates: unknown): string {
  const [compiled] = templates as readonly { readonly template: string }[]
  return `(() => {${compiled?.template}})()`
}
