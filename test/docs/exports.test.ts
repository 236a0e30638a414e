/** Each export of the package says what it is, where an editor shows it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import ts from 'typescript-5'
import { projectFolder } from '../support/places.ts'

const { exports } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as {
  exports: Readonly<Record<string, { default?: string }>>
}
const doors = Object.entries(exports).flatMap(([path, { default: file }]) =>
  file === undefined
    ? []
    : [[path, join(projectFolder, file.replace('dist/', 'src/').replace(/\.js$/, '.ts'))] as const],
)

const program = ts.createProgram(
  doors.map(([, file]) => file),
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

test('the entry points of the package are these sources', (t) => {
  t.true(doors.length >= 6)
  for (const [path, file] of doors) t.truthy(program.getSourceFile(file), `${path}: ${file}`)
})

for (const [path, file] of doors) {
  test(`each export of ${path} has a docstring`, (t) => {
    const source = program.getSourceFile(file)
    const symbol = source && checker.getSymbolAtLocation(source)
    const exported = symbol === undefined ? [] : checker.getExportsOfModule(symbol)
    t.true(exported.length > 0)
    const bare = exported.filter((one) => {
      const declared = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one
      return ts.displayPartsToString(declared.getDocumentationComment(checker)).trim() === ''
    })
    t.deepEqual(
      bare.map(({ name }) => name),
      [],
      'write a /** … */ before each of them: what it is, or what it does for its caller',
    )
  })
}
