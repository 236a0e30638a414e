import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { statusOf } from '../../src/http/statuses.ts'
import { errorClasses, logEvents, sources } from '../../tools/docs/source.ts'
import { projectFolder } from '../support/places.ts'

const errors = readFileSync(join(projectFolder, 'docs/errors.md'), 'utf8')
const events = readFileSync(join(projectFolder, 'docs/log-events.md'), 'utf8')

test('every error code of src/ has a section, and no section is without a code', (t) => {
  // By the text of each file, not by errorClasses: that is what the page is made from.
  const thrown = sources().flatMap(({ text }) =>
    [...text.matchAll(/\bcode\b[^\n=]*= '(ERR_\w+)'/g)].map(([, code]) => code),
  )
  const explained = [...errors.matchAll(/^### (.+)$/gm)].map(([, code]) => code)
  t.is(explained.length, new Set(explained).size)
  t.deepEqual(sorted(explained), sorted(new Set(thrown)))
})

test('each section names the class, the status that requests get, and what to do', (t) => {
  for (const { code, name } of errorClasses()) {
    const [section = ''] = new RegExp(`^### ${code}\n[\\s\\S]*?(?=^#|$(?![\\s\\S]))`, 'm').exec(errors) ?? []
    t.true(section.includes(`\`${name}\``), code)
    t.regex(section, /^\*\*What to do:\*\* \S/m, code)
    const status = statusOf(Object.assign(new Error(), { code }))
    if (status !== 500) t.regex(section, new RegExp(`; status ${status}$`, 'm'), code)
  }
})

test('every event that is logged has a row, and no row is without an event', (t) => {
  const rows = [...events.matchAll(/^\| `(\w+\.\w+)` \| ([^|]*) \|/gm)].map(([, event, levels]) => [
    event,
    levels,
  ])
  const logged = [...logEvents()].map(([event, levels]) => [event, levels.join(', ')])
  t.deepEqual(rows, logged)
  // By their names alone, wherever they stand, so that another way to log is noticed.
  const families = new Set(logged.map(([event = '']) => event.split('.')[0]))
  const named = sources()
    .filter(({ file }) => !file.startsWith('django/'))
    .flatMap(({ text }) => [...text.matchAll(/'([a-z]+)\.[a-z_]+'(?=[,)])/g)])
    .filter(([, family]) => families.has(family ?? ''))
    .map(([event]) => event.slice(1, -1))
  t.deepEqual(sorted(new Set(named)), sorted(rows.map(([event]) => event)))
})

function sorted(words: Iterable<string | undefined>): (string | undefined)[] {
  return [...words].sort((a = '', b = '') => (a < b ? -1 : 1))
}
