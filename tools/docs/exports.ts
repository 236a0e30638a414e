import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript-5'
import manifest from '../../package.json' with { type: 'json' }

/** An export of an entry point of the package. */
export interface PublicExport {
  readonly name: string
  readonly kind: 'class' | 'function' | 'interface' | 'type' | 'constant'
  /** Its docstring without the tags, in one line; empty without one. */
  readonly meaning: string
}

/** The exports of each entry point, by its path in package.json (`.`, `./koa` …), sorted by name. */
export function publicExports(): Map<string, readonly PublicExport[]> {
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
  return new Map(
    sources.map(({ path, file }) => {
      const source = program.getSourceFile(file)
      const symbol = source && checker.getSymbolAtLocation(source)
      if (symbol === undefined) throw new Error(`${file} of the entry point ${path} exports nothing`)
      const exported = checker
        .getExportsOfModule(symbol)
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map((one) => {
          const declared = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one
          return { name: one.name, kind: kindOf(declared), meaning: meaningOf(declared, checker) }
        })
      return [path, exported] as const
    }),
  )
}

/** `src/index.ts` of `./dist/index.js`. */
function sourceOf(built: string): string {
  const project = fileURLToPath(new URL('../..', import.meta.url))
  return join(project, built.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))
}

function kindOf({ flags }: ts.Symbol): PublicExport['kind'] {
  if (flags & ts.SymbolFlags.Class) return 'class'
  if (flags & ts.SymbolFlags.Function) return 'function'
  if (flags & ts.SymbolFlags.Interface) return 'interface'
  if (flags & ts.SymbolFlags.TypeAlias) return 'type'
  return 'constant'
}

function meaningOf(symbol: ts.Symbol, checker: ts.TypeChecker): string {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).replaceAll(/\s+/g, ' ').trim()
}
