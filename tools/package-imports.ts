/** Reads what built files import: the files of the library, and the packages that it needs. */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import ts from 'typescript-5'

/** `always`: loaded with the file. `lazily`: loaded when the code runs. `types`: named by a declaration only. */
export type ImportKind = 'always' | 'lazily' | 'types'

export interface FoundImport {
  readonly name: string
  readonly kind: ImportKind
  /** Where the line begins that names it. */
  readonly position: number
}

/** The imports of a JavaScript file or of declarations (`.d.ts`). */
export function importsOf(file: string, text: string): FoundImport[] {
  const areTypes = file.endsWith('.d.ts')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: FoundImport[] = []
  const add = (specifier: ts.Node | undefined, kind: ImportKind) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return
    const position = text.lastIndexOf('\n', specifier.getStart(source)) + 1
    found.push({ name: specifier.text, kind: areTypes ? 'types' : kind, position })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier, 'always')
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, 'types')
    else if (ts.isModuleDeclaration(node)) add(node.name, 'types')
    else if (ts.isCallExpression(node) && isLoader(node.expression)) add(node.arguments[0], 'lazily')
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** `import`, `require` or `createRequire(…)`. */
function isLoader(called: ts.Expression): boolean {
  if (called.kind === ts.SyntaxKind.ImportKeyword) return true
  if (ts.isIdentifier(called)) return called.text === 'require'
  return (
    ts.isCallExpression(called) &&
    ts.isIdentifier(called.expression) &&
    called.expression.text === 'createRequire'
  )
}

export interface Reach {
  /** All files that the entry points import, and themselves. */
  readonly files: ReadonlySet<string>
  /** Packages, each with the strongest way in which a file imports it. */
  readonly packages: ReadonlyMap<string, ImportKind>
}

const STRENGTH: readonly ImportKind[] = ['types', 'lazily', 'always']

/** Follows the imports of these files, all with absolute paths. */
export function followImports(entryPoints: readonly string[]): Reach {
  const files = new Set(entryPoints)
  const packages = new Map<string, ImportKind>()
  for (const file of files) {
    for (const { name, kind } of importsOf(file, readFileSync(file, 'utf8'))) {
      if (name.startsWith('.')) {
        const path = resolve(dirname(file), name)
        files.add(file.endsWith('.d.ts') ? path.replace(/(?:\.d)?\.[jt]s$/, '.d.ts') : path)
      } else if (!name.startsWith('node:')) {
        const root = packageOf(name)
        const known = packages.get(root) ?? 'types'
        packages.set(root, STRENGTH.indexOf(kind) > STRENGTH.indexOf(known) ? kind : known)
      }
    }
  }
  return { files, packages }
}

/** `knex` of `knex/types`, `@node-rs/argon2` of itself. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/**
 * Declarations that also compile where a package that they name is not installed: its types are then `any`. Without this,
 * every program that checks declarations (`skipLibCheck: false`) would need all optional packages. The comment is for the
 * errors of the next line.
 */
export function tolerateMissing(text: string, isOptional: (name: string) => boolean): string {
  const positions = importsOf('any.d.ts', text)
    .filter(({ name }) => isOptional(packageOf(name)))
    .map(({ position }) => position)
  return [...new Set(positions)]
    .toSorted((a, b) => b - a)
    .reduce(
      (done, position) =>
        `${done.slice(0, position)}// @ts-ignore: this package is optional\n${done.slice(position)}`,
      text,
    )
}

/** The files that a manifest's `exports` name, below its folder. */
export function exportedFiles(
  exports: Readonly<Record<string, string | Record<string, string>>>,
  folder: string,
): string[] {
  return Object.values(exports)
    .flatMap((one) => (typeof one === 'string' ? one : Object.values(one)))
    .filter((path) => /\.[jt]s$/.test(path))
    .map((path) => join(folder, path))
}
