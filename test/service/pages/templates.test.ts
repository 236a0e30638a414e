import test from 'ava'
import { createTemplates } from '../../../src/service/pages/templates.ts'
import { testLayout as layout } from '../../support/layout.ts'

const templates = createTemplates({ stylesUrl: '/styles.css', iconUrl: '/icon.svg', version: '1.2.3' })
const counts = { books: 0, copies: 0, copiesAvailable: 0, authors: 0 }

test('values are escaped', (t) => {
  const page = templates.render('error.html', {
    status: 400,
    title: '<script>"&',
    message: "'<b>'",
    reference: '',
    layout,
  })
  t.true(page.includes('<h1>&lt;script&gt;&quot;&amp;</h1>'))
  t.true(page.includes('&#39;&lt;b&gt;&#39;'))
  t.false(page.includes('<script>'))
})

test('a message is escaped unless Django marked it as safe', (t) => {
  const level = { level: 20, levelTag: 'info', extraTags: '' }
  const messages = [
    { ...level, text: '<b>"5 > 4"</b>', tags: 'big info', isSafe: false },
    { ...level, text: '<b>bold</b>', tags: '', isSafe: true },
  ]
  const error = { status: 400, title: '', message: '', reference: '' }
  const page = templates
    .render('error.html', { ...error, layout: { ...layout, messages } })
    .replace(/\s+</g, '<')
  t.true(
    page.includes(
      '<ul class="messages"><li class="message big info">&lt;b&gt;&quot;5 &gt; 4&quot;&lt;/b&gt;</li><li class="message"><b>bold</b></li></ul>',
    ),
  )
  t.false(templates.render('error.html', { ...error, layout }).includes('class="messages"'))
})

test('a missing value that the template uses is an error, not an empty text', (t) => {
  t.throws(() => templates.render('index.html', { counts, layout }), { message: /undefined/ })
})

for (const [numVisits, text] of [
  [1, '1 time.'],
  [1n, '1 time.'],
  [0, '0 times.'],
  [2, '2 times.'],
  [2n ** 64n, '18446744073709551616 times.'],
  [1.5, '1.5 times.'],
] as const) {
  test(`${typeof numVisits} ${numVisits} is shown as "${text}"`, (t) => {
    t.true(
      templates
        .render('index.html', { counts, numVisits, layout })
        .includes(`You have visited this page ${text}`),
    )
  })
}

test('numbers are shown as Django shows them, without separators', (t) => {
  const page = templates.render('index.html', {
    counts: { ...counts, books: 1234567 },
    numVisits: 7654321,
    layout,
  })
  t.true(page.includes('<dd>1234567</dd>'))
  t.true(page.includes('this page 7654321 times.'))
})

test('only the current page is marked in the navigation', (t) => {
  const current = '<a href="/catalog/" aria-current="page">Home</a>'
  t.true(templates.render('index.html', { counts, numVisits: 1, layout }).includes(current))
  t.false(
    templates
      .render('error.html', { status: 404, title: 'x', message: 'y', reference: '', layout })
      .includes('aria-current'),
  )
})
