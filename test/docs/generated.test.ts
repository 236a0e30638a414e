import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { llmsOf } from '../../tools/docs/llms.ts'
import { generatedFiles } from '../../tools/generate-docs.ts'
import { projectFolder } from '../support/places.ts'

for (const [path, text] of generatedFiles()) {
  test(`${path} is what npm run docs writes`, (t) => {
    const file = join(projectFolder, path)
    t.true(existsSync(file), `run npm run docs, and commit ${path}`)
    t.is(readFileSync(file, 'utf8'), text, `${path} is stale: run npm run docs, and commit it`)
  })
}

test('llms.txt has the pages of the index, with addresses from the project', (t) => {
  const index = `# Documentation

Words before.

- [Library](library.md): Sessions in a program of yours.

## Operations

- [Settings](settings.md): Every setting.
- [Security](../SECURITY.md): What each key protects.
- [Django](https://www.djangoproject.com/)

## Empty

Words after.
`
  t.is(
    llmsOf(index, { name: 'a-package', description: 'What it is.' }),
    `# a-package

> What it is.

## Documentation

- [Library](docs/library.md): Sessions in a program of yours.

## Operations

- [Settings](docs/settings.md): Every setting.
- [Security](SECURITY.md): What each key protects.
- [Django](https://www.djangoproject.com/)
`,
  )
})
