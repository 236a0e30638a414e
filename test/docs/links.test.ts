import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import test from 'ava'
import { projectFolder } from '../support/places.ts'
import { manual, type Page, readPage, withoutBlocks } from './pages.ts'

const pages: readonly Page[] = [
  ...manual(),
  ...['CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'].map(readPage),
  ...readdirSync(join(projectFolder, 'bench'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => readPage(`bench/${name}`)),
  ...(existsSync(join(projectFolder, 'llms.txt')) ? [readPage('llms.txt')] : []),
]

for (const page of pages) {
  test(`every link of ${page.path} leads somewhere`, (t) => {
    const problems = linksOf(page).map((href) => [href, problemOf(page, href)] as const)
    t.deepEqual(
      problems.filter(([, problem]) => problem !== null),
      [],
    )
  })
}

test('the index has every page of docs/', (t) => {
  t.true(existsSync(join(projectFolder, 'docs/README.md')), 'docs/README.md is the index of the pages')
  const listed = [...readPage('docs/README.md').text.matchAll(/^[-*] \[[^\]]+\]\(([^)]+)\): \S/gm)].map(
    ([, href]) => href,
  )
  t.deepEqual(
    manual()
      .map(({ path }) => path.replace('docs/', ''))
      .filter((path) => path !== 'README.md' && !listed.includes(path)),
    [],
    'the index has no line `- [title](page.md): sentence` for it',
  )
})

test('anchors are those that GitHub makes of headings', (t) => {
  const text = [
    '# Django’s sessions: `db` & more!',
    '## Twice',
    '## Twice',
    'Setext heading',
    '---',
    '### The [link](there.md) – in *between*',
    '## ERR_SETTINGS',
    '```sh',
    '# no heading',
    '```',
    '<a id="by-hand"></a>',
  ].join('\n')
  t.deepEqual(
    [...anchorsOf({ path: 'a.md', text })],
    [
      'djangos-sessions-db--more',
      'twice',
      'twice-1',
      'setext-heading',
      'the-link--in-between',
      'err_settings',
      'by-hand',
    ],
  )
})

test('a link that leads nowhere is found', (t) => {
  const page = { path: 'docs/a.md', text: '# One\n\n[ref]: b.md\n' }
  t.is(problemOf(page, '#one'), null)
  t.is(problemOf(page, '#two'), 'docs/a.md has no heading for #two')
  t.is(problemOf(page, '../README.md'), null)
  t.is(problemOf(page, '../README.md#no-such-heading'), 'README.md has no heading for #no-such-heading')
  t.is(problemOf(page, 'README.txt'), 'there is no docs/README.txt')
  t.is(problemOf(page, '../../outside.md'), 'it leads out of the project')
  t.is(problemOf(page, 'https://example.com/a'), null)
  t.is(problemOf(page, 'http://example.com'), 'an address begins with https://, unless it is of this machine')
  t.is(problemOf(page, 'http://127.0.0.1:3000/'), null)
  t.is(problemOf(page, 'https://'), 'not an address')
  const text =
    '[a](b.md "t") ![c](<d e.png>) <https://f.org> https://g.org/x). `[no](no.md)`\n\n[ref]: h.md\n'
  t.deepEqual(linksOf({ path: 'a.md', text }), [
    'b.md',
    'd e.png',
    'h.md',
    'https://f.org',
    'https://g.org/x',
  ])
})

/** What is wrong with a link on this page; null where it is right. No network is asked. */
function problemOf(page: Page, href: string): string | null {
  if (/^[a-z][a-z\d+.-]*:/i.test(href)) return problemOfAddress(href)
  const [path = '', anchor] = href.split('#').map(decodeURIComponent)
  const target = path === '' ? page.path : normalize(join(dirname(page.path), path))
  if (target.startsWith('..')) return 'it leads out of the project'
  if (path !== '' && !existsSync(join(projectFolder, target))) return `there is no ${target}`
  if (anchor === undefined) return null
  if (statSync(join(projectFolder, target), { throwIfNoEntry: false })?.isDirectory())
    return `${target} is a folder, which has no anchors`
  const found = anchorsOf(path === '' ? page : readPage(target))
  return found.has(anchor) ? null : `${target} has no heading for #${anchor}`
}

function problemOfAddress(href: string): string | null {
  const url = URL.parse(href)
  if (url === null || (url.protocol !== 'mailto:' && url.hostname === '')) return 'not an address'
  const isLocal = ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)
  if (['https:', 'mailto:'].includes(url.protocol) || (url.protocol === 'http:' && isLocal)) return null
  return 'an address begins with https://, unless it is of this machine'
}

/** Links, pictures, references and bare addresses outside code. */
function linksOf(page: Page): string[] {
  const text = withoutBlocks(page).replace(/(`+)(?!`)(?:(?!\n\n)[\s\S])*?[^`]\1(?!`)/g, '')
  const inline = text.matchAll(/\]\(\s*(?:<([^>]*)>|([^\s)]+))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/g)
  const references = text.matchAll(/^ {0,3}\[[^\]]+\]:\s*(\S+)/gm)
  const tags = text.matchAll(/\b(?:href|src)="([^"]*)"/g)
  const bare = text.matchAll(/(?<![(<"\w])<?(https?:\/\/[^\s<>)"']*[^\s<>)"'.,;:])>?/g)
  return [
    ...[...inline].map(([, angled, plain]) => angled ?? plain ?? ''),
    ...[...references, ...tags, ...bare].map(([, href = '']) => href),
  ]
}

/** The anchors of a page: GitHub's for its headings, and those that are written as HTML. */
function anchorsOf(page: Page): ReadonlySet<string> {
  const lines = withoutBlocks(page).split('\n')
  const anchors = new Set<string>()
  const times = new Map<string, number>()
  for (const [index, line] of lines.entries()) {
    const isUnderlined = /^(?:=+|-+) *$/.test(lines[index + 1] ?? '') && /^[^\s|>#-]/.test(line)
    const heading = /^ {0,3}#{1,6} +(.*?)(?: +#+)? *$/.exec(line)?.[1] ?? (isUnderlined ? line : null)
    if (heading !== null) {
      const slug = slugOf(heading)
      const count = times.get(slug) ?? 0
      times.set(slug, count + 1)
      anchors.add(count === 0 ? slug : `${slug}-${count}`)
    }
    for (const [, id = ''] of line.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(id)
  }
  return anchors
}

/**
 * Lower case; what is neither letter, digit, `_`, `-` nor blank goes; blanks become hyphens.
 * Source: github/html-pipeline, lib/html/pipeline/toc_filter.rb.
 */
function slugOf(heading: string): string {
  return heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-')
}
