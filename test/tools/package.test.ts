/** The package.json and the pages of the published package are computed from what the library imports. */
import test from 'ava'
import { importsOf, tolerateMissing } from '../../tools/package-imports.ts'
import { type ProjectManifest, publishedManifest } from '../../tools/package-manifest.ts'
import { publishedPage } from '../../tools/package-pages.ts'

const PROJECT: ProjectManifest = {
  name: 'one',
  release: '1.2.3',
  private: true,
  exports: { '.': './dist/index.js' },
  bin: { one: './dist/main.js' },
  scripts: { test: 'any' },
  dependencies: {
    always: '2.1.0',
    knex: '3.3.0',
    mysql2: '3.24.6',
    pg: '8.23.1',
    'better-sqlite3': '13.2.0',
  },
  devDependencies: { '@scope/lazy': '4.0.1', types: '5.6.7', tool: '1.0.0' },
}

test('imports are found with the way in which they load', (t) => {
  const code = `
import a from 'always'
export { b } from "./b.js"
import 'node:fs'
const load = () => import('@scope/lazy')
const c = require('common')
const d = createRequire(import.meta.url)('required')
const text = "import('none')" // import('none')
`
  t.deepEqual(
    importsOf('one.js', code).map(({ name, kind }) => [name, kind]),
    [
      ['always', 'always'],
      ['./b.js', 'always'],
      ['node:fs', 'always'],
      ['@scope/lazy', 'lazily'],
      ['common', 'lazily'],
      ['required', 'lazily'],
    ],
  )
})

test('what is imported always is a dependency, what may be absent an optional peer with a range', (t) => {
  const packages = new Map([
    ['knex', 'types'],
    ['@scope/lazy', 'lazily'],
    ['always', 'always'],
  ] as const)
  const lowest = {
    '@scope/lazy': '4.0.0',
    'better-sqlite3': '11.0.0',
    knex: '1.0.1',
    mysql2: '3.0.0',
    pg: '8.0.3',
    types: '5.1.0',
  }
  const peers = {
    '@scope/lazy': '>=4.0.0',
    'better-sqlite3': '>=11.0.0',
    knex: '>=1.0.1',
    mysql2: '>=3.0.0',
    pg: '>=8.0.3',
  }
  t.like(publishedManifest(PROJECT, packages, { lowest }), {
    name: 'one',
    version: '1.2.3',
    bin: PROJECT.bin,
    exports: PROJECT.exports,
    private: undefined,
    scripts: undefined,
    devDependencies: undefined,
    repository: undefined,
    dependencies: { always: '2.1.0' },
    peerDependencies: peers,
    peerDependenciesMeta: Object.fromEntries(Object.keys(peers).map((name) => [name, { optional: true }])),
  })
  t.deepEqual(publishedManifest(PROJECT, new Map([['types', 'types']]), { lowest }).peerDependencies, {
    types: '>=5.1.0',
  })
  t.like(publishedManifest(PROJECT, packages, { lowest, repository: 'https://github.com/any/one' }), {
    repository: { type: 'git', url: 'git+https://github.com/any/one.git' },
  })
})

test('a package without a version in the project, and a peer without a lowest version, are errors', (t) => {
  t.throws(() => publishedManifest(PROJECT, new Map([['unknown', 'always']])), {
    message: /imports unknown, of which package\.json names no version/,
  })
  t.throws(() => publishedManifest(PROJECT, new Map([['unknown', 'lazily']])), {
    message: /names unknown, of which LOWEST_VERSIONS has no version/,
  })
})

test('declarations tolerate that an optional package is missing', (t) => {
  const before = `/** A file. */
import type { Knex } from 'knex';
import {
    type B,
} from 'pg';
import type { A } from './a.ts';
declare module 'koa' {
    interface Context { a: A; }
}
/** One. */
export declare function one(db: Knex): import('pg').Pool;
`
  t.is(
    tolerateMissing(before, (name) => ['knex', 'koa', 'pg'].includes(name)),
    `/** A file. */
// @ts-ignore: this package is optional
import type { Knex } from 'knex';
import {
    type B,
// @ts-ignore: this package is optional
} from 'pg';
import type { A } from './a.ts';
// @ts-ignore: this package is optional
declare module 'koa' {
    interface Context { a: A; }
}
/** One. */
// @ts-ignore: this package is optional
export declare function one(db: Knex): import('pg').Pool;
`,
  )
})

test('no relative link of a published page leads out of the package', (t) => {
  const packed = new Set(['README.md', 'docs/a.md', 'docs/b.md'])
  const text = `See [a](docs/a.md#x), [docs](docs/), [web](https://example.org/x), [here](#here), [\`c\`](src/c.ts#L1).
![shot](shot.png)
\`[code](src/c.ts)\`
`
  t.is(
    publishedPage(text, { path: 'README.md', packed, browse: 'https://example.org/blob/v1/' }),
    `See [a](docs/a.md#x), [docs](docs/), [web](https://example.org/x), [here](#here), [\`c\`](https://example.org/blob/v1/src/c.ts#L1).
![shot](https://example.org/blob/v1/shot.png?raw=true)
\`[code](src/c.ts)\`
`,
  )
  t.is(
    publishedPage(text, { path: 'README.md', packed, browse: null }),
    `See [a](docs/a.md#x), [docs](docs/), [web](https://example.org/x), [here](#here), \`c\`.

\`[code](src/c.ts)\`
`,
  )
  const page = '[b](b.md), [up](../README.md), [out](../src/c.ts)'
  t.is(publishedPage(page, { path: 'docs/a.md', packed, browse: null }), '[b](b.md), [up](../README.md), out')
})
