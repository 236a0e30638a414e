/** Each export of the package says what it is, where an editor shows it. */
import test from 'ava'
import { publicExports } from '../../tools/docs/exports.ts'

const entryPoints = publicExports()

test('the entry points of the package are read', (t) => {
  t.true(entryPoints.size >= 6)
})

for (const [path, exported] of entryPoints) {
  test(`each export of ${path} has a docstring`, (t) => {
    t.true(exported.length > 0)
    t.deepEqual(
      exported.filter(({ meaning }) => meaning === '').map(({ name }) => name),
      [],
      'write a /** … */ before each of them: what it is, or what it does for its caller',
    )
  })
}
