import { readFileSync } from 'node:fs'
import test from 'ava'
import { type Field, formTypeOf, parseMultipart, parseUrlencoded } from '../../src/django/forms.ts'

type Result = [name: string, values: string[]][] | string

/** Recorded from real Django by forms.py. */
const vectors: {
  djangos: readonly string[]
  forms: readonly {
    readonly input: [contentType: string, pieces: [text: string, times: number][]]
    /** One entry for each Django version, oldest first. */
    readonly results: readonly Result[]
  }[]
} = JSON.parse(readFileSync(new URL('../vectors/forms.json', import.meta.url), 'utf8'))

function ours(contentType: string, body: Buffer): Result {
  const counts = { maxFields: 1000, maxFiles: 100 }
  try {
    const form = formTypeOf(contentType)
    if (form === null) return []
    return listsOf(
      form.type === 'multipart' ? parseMultipart(body, form.boundary, counts) : parseUrlencoded(body, counts),
    )
  } catch (error) {
    return error instanceof Error ? error.name : String(error)
  }
}

function listsOf(fields: readonly Field[]): [string, string[]][] {
  const lists = new Map<string, string[]>()
  for (const [name, value] of fields) lists.set(name, [...(lists.get(name) ?? []), value])
  return [...lists]
}

/** Bodies that older Django versions read differently (no browser sends them), with the first version that reads as ours. */
const DIFFERENCES: readonly [since: string, where: RegExp][] = [
  ['4.2', /BOUNDARY=|URLENCODED|Boundary=/], // upper case
  ['4.2', /[\xe9\xff]/], // a header that is not UTF-8
  ['4.2', /\\"/], // an escaped quote before a semicolon
  ['5.2', /name\*=/], // RFC 2231
  ['5.2', /name(?:=<a>|\r)/],
  ['6.1', /[\s](?<!\n)Content-Disposition/], // a space before a header
  ['6.1', /base64\r\n\r\n(?:!!!!|====)/],
]

const ERRORS: Readonly<Record<string, string>> = {
  // Before 4.2 a missing or non-ASCII boundary caused a 500.
  AttributeError: 'UnreadablePost',
  UnicodeEncodeError: 'UnreadablePost',
  MultiPartParserError: 'UnreadablePost',
}

for (const [index, version] of vectors.djangos.entries()) {
  const known = DIFFERENCES.filter(([since]) => Number.parseFloat(version) < Number(since))
  test(`forms are parsed as by Django ${version}`, (t) => {
    for (const { input, results } of vectors.forms) {
      const [contentType, pieces] = input
      const body = pieces.map(([text, times]) => text.repeat(times)).join('')
      if (known.some(([, differs]) => differs.test(`${contentType}\r${body}`))) continue
      const theirs = results[index] ?? ''
      const expected = typeof theirs === 'string' ? (ERRORS[theirs] ?? theirs) : theirs
      const read = ours(contentType, Buffer.from(body, 'latin1'))
      // Unlike older Django versions, which have no limit on files, and drop a part with long headers.
      const isRefusedSince = version.startsWith('2.2') ? /^TooMany|^Unreadable/ : /^Unreadable/
      if (typeof read === 'string' && Number.parseFloat(version) < 5 && isRefusedSince.test(read)) continue
      t.deepEqual(read, expected, JSON.stringify(input).slice(0, 300))
    }
  })
}

test('a form in an unsupported charset is rejected', (t) => {
  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=b'])
    for (const charset of ['latin1', 'iso-8859-1', 'UTF-16', 'shift_jis', 'us-ascii'])
      t.is(ours(`${type}; charset=${charset}`, Buffer.from('a=1')), 'UnreadablePost', charset)
})
