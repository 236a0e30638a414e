/** What the pages of the frameworks that must be built show is code of examples/, which is checked, built and run there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { projectFolder } from '../support/places.ts'
import { blocksOf, readPage } from './pages.ts'

const PAGES = { nextjs: 'next', sveltekit: 'sveltekit', 'react-router': 'react-router' }

for (const [page, example] of Object.entries(PAGES)) {
  const blocks = blocksOf(readPage(`docs/frameworks/${page}.md`))
  const code = blocks.filter(({ language }) => language !== 'console')

  test(`docs/frameworks/${page}.md has code`, (t) => {
    t.true(code.length >= 3)
    for (const { place, language } of code) t.regex(language, /^(ts|text)$/, place)
  })

  for (const { place, text } of code)
    test(`${place} is code of examples/${example}`, (t) => {
      const [, file] = /^\/\/ (\S+)\n/.exec(text) ?? []
      if (file === undefined) return t.fail('its first line must name the file: // app/visit/route.ts')
      const source = readFileSync(join(projectFolder, 'examples', example, file), 'utf8')
      // A part of a file is enough; its imports and its code need not be neighbours.
      const parts = text.slice(text.indexOf('\n') + 1).split(/(?<=^import .*\n)\n/m)
      for (const part of parts) t.true(source.includes(part), `examples/${example}/${file} lacks:\n${part}`)
    })
}
