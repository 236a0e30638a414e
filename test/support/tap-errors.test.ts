import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import './tap-errors.ts'

test('the reporter writes an error that has no stack', async (t) => {
  const ava = createRequire(import.meta.resolve('ava'))
  const reporter = await import(pathToFileURL(ava.resolve('supertap')).href)
  const error = new Error('as a socket may raise it')
  error.stack = String(error)
  const text: string = reporter.test('a title', { error, index: 1, passed: false })
  t.regex(text, /^not ok 1 - a title\n {2}---\n {4}name: Error\n/)
  t.regex(text, /message: as a socket may raise it/)
})
