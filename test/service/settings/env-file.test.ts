import test from 'ava'
import { envLine, parseEnvFile } from '../../../src/service/settings/environment.ts'

const VALUES = [
  'plain',
  'sqlite:////srv/my%20site/db.sqlite3',
  '["a", "b"]',
  'ends with a #comment',
  '#begins',
  ' blanks around ',
  `a $HOME and a ${'{HOME}'} and $(id)`,
  "it's",
  `it's "both"`,
  'all \' three " quotes `',
  "only ` and '",
  'a backslash n: \\n, and one at the end\\',
  "with ' and \\n",
  "an escape of ours, as text: ' \\u0060 \\u005c",
  'an escape of ours without a quote: \\u0060',
  'two\nlines',
  'two\n\' " `lines # of\nmore',
  'NAME=other\nOTHER=x',
  '비밀 é \u2028 😀',
  '=',
  'a=b',
  '"quoted"',
  "'quoted'",
  '`quoted`',
  '\t',
]

for (const value of VALUES) {
  test(`.env: this value is read as it was written: ${JSON.stringify(value)}`, (t) => {
    const line = envLine('NAME', value)
    for (const text of [`${line}`, `${line}\n`, `BEFORE='1'\n${line}\nAFTER="2"\n`]) {
      const problems: string[] = []
      t.is(parseEnvFile(text, problems).NAME, value)
      t.deepEqual(problems, [])
    }
    t.like(parseEnvFile(`BEFORE='1'\n${line}\nAFTER="2"\n`, []), { BEFORE: '1', AFTER: '2' })
  })
}

test('.env: what no reader keeps is not written', (t) => {
  t.is(envLine('NAME', 'a\rb'), null)
  t.is(envLine('NAME', 'a\0b'), null)
})

test('.env: a value that someone put in backticks, without an escape, is read as it stands', (t) => {
  t.is(parseEnvFile('NAME=`a\\nb "c" \\u0041`\n', []).NAME, 'a\\nb "c" \\u0041')
})

test('.env: a dollar is in single quotes, so that a shell that reads the file keeps it', (t) => {
  t.is(envLine('NAME', 'a$b'), "NAME='a$b'")
})
