import manifest from '../../package.json' with { type: 'json' }
import { publicExports } from './exports.ts'
import { code, generatedFrom, table } from './markdown.ts'

/** docs/api.md: each export of each entry point of the package, with its docstring. */
export function apiPage(): string {
  const sections = [...publicExports()].map(([path, exported]) => {
    const rows = exported.map(({ name, kind, meaning }) => [code(name), kind, meaning])
    return `## \`${path.replace('.', manifest.name)}\`\n\n${table(['export', 'kind', 'meaning'], rows)}`
  })
  return `${generatedFrom('tools/docs/api-page.ts and the docstrings under src/')}
# Exports

${INTRODUCTION}

${sections.join('\n\n')}
`
}

const INTRODUCTION = `Every export of every entry point, by name. Editors show the same words, with parameters and types. How the parts are
used: [the library](library.md), [frameworks](frameworks.md), [signed values](signing.md), [tests of your own](testing.md).`
