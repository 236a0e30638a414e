import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript-5'
import manifest from '../../package.json' with { type: 'json' }
import { code, generatedFrom, table } from './markdown.ts'

const project = fileURLToPath(new URL('../..', import.meta.url))

/** docs/api.md: each export of each entry point of the package, with its docstring. */
export function apiPage(): string {
  const sources = Object.entries(manifest.exports).flatMap(([path, target]) =>
    typeof target === 'string' ? [] : [{ path, file: sourceOf(target.default) }],
  )
  const program = ts.createProgram(
    sources.map(({ file }) => file),
    {
      target: ts.ScriptTarget.ES2024,
      module: ts.ModuleKind.NodeNext,
      allowImportingTsExtensions: true,
      noEmit: true,
      noLib: true, // only names and comments are read
      types: [],
    },
  )
  const checker = program.getTypeChecker()
  const sections = sources.map(({ path, file }) => {
    const source = program.getSourceFile(file)
    const symbol = source && checker.getSymbolAtLocation(source)
    if (symbol === undefined) throw new Error(`${file} of the entry point ${path} exports nothing`)
    const rows = checker
      .getExportsOfModule(symbol)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((one) => {
        const declared = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one
        return [code(one.name), kindOf(declared), meaningOf(declared, checker)]
      })
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

/** `src/index.ts` of `./dist/index.js`. */
function sourceOf(built: string): string {
  return join(project, built.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))
}

function kindOf({ flags }: ts.Symbol): string {
  if (flags & ts.SymbolFlags.Class) return 'class'
  if (flags & ts.SymbolFlags.Function) return 'function'
  if (flags & ts.SymbolFlags.Interface) return 'interface'
  if (flags & ts.SymbolFlags.TypeAlias) return 'type'
  return 'constant'
}

/** The docstring without its tags, in one line. */
function meaningOf(symbol: ts.Symbol, checker: ts.TypeChecker): string {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).replaceAll(/\s+/g, ' ').trim()
}
