import test from 'ava'
import { pathPatternProblem } from '../../../src/django/path-pattern.ts'
import { createPathLabel } from '../../../src/service/monitoring/path-label.ts'

const label = createPathLabel(['/accounts/reset/<uidb64>/<token>/', '/books/<int:pk>/', '/files/<path:name>'])

for (const [target, shown] of [
  ['/', '/'],
  ['/?token=secret', '/'],
  ['/admin/', '/admin/'],
  ['/admin', '/admin'],
  ['/admin/?next=/secret', '/admin/'],
  ['/admin/secret/', '/admin/…'],
  ['/accounts/reset/MQ/c7x3ab-5f2e/', '/accounts/reset/<uidb64>/<token>/'],
  ['/accounts/%72eset/MQ/c7x3ab-5f2e/?a', '/accounts/reset/<uidb64>/<token>/'],
  ['http://library.example.com/accounts/reset/MQ/c7x3ab-5f2e/', '/accounts/reset/<uidb64>/<token>/'],
  ['/accounts/reset/MQ/c7x3ab-5f2e', '/accounts/…'],
  ['/accounts/reset/MQ/c7x3ab-5f2e/x/', '/accounts/…'],
  ['/accounts/reset//c7x3ab-5f2e/', '/accounts/…'],
  ['/books/12/', '/books/<int:pk>/'],
  ['/books/12a/', '/books/…'],
  ['/files/a/b/c', '/files/<path:name>'],
  ['/files/', '/files/'],
  ['/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/', '/…'],
  ['/abcdefghijklmnopqrstuvwxyz012345/', '/…'],
  ['/3f2a9c81/', '/…'],
  ['/favicon.ico', '/…'],
  ['/%61dmin/secret', '/admin/…'],
  ['/user@example.com', '/…'],
  ['//secret/x', '/…'],
  ['/admin\\secret', '/…'],
  ['/admin;jsessionid=secret', '/…'],
  ['/admin%2fsecret', '/admin/…'],
  ['/admin%0asecret', '/…'],
  ['/admin#secret', '/…'],
  ['/도서관/', '/…'],
  [`/files/${'a'.repeat(1000)}`, '/files/…'],
  ['*', '…'],
  ['', '…'],
] as const) {
  test(`the log shows ${target.slice(0, 60)} as ${shown}`, (t) => {
    t.is(label(target), shown)
  })
}

for (const [pattern, problem] of [
  ['/accounts/reset/<uidb64>/<str:token>/', null],
  ['/<slug:a>/<uuid:b>/<path:c>', null],
  ['/plain.html', null],
  ['accounts/<token>/', /begin/],
  ['/accounts/<token/', /syntax/],
  ['/accounts/<1token>/', /syntax/],
  ['/accounts/<yyyy:year>/', /another converter than/],
  ['/accounts/<constructor:year>/', /another converter than/],
  ['/<a>-<b>/', /more than one converter/],
  ['/<path:a>/<path:b>/', /more than one path/],
] as const) {
  test(`${pattern} is ${problem === null ? 'a valid' : 'an invalid'} pattern of LOG_PATHS`, (t) => {
    const found = pathPatternProblem(pattern)
    if (problem === null) t.is(found, null)
    else t.regex(found ?? '', problem)
  })
}

test('special characters of regular expressions are literal in a pattern', (t) => {
  const escaped = createPathLabel(['/a.b*(c)[d]|$/<int:n>'])
  t.is(escaped('/a.b*(c)[d]|$/1'), '/a.b*(c)[d]|$/<int:n>')
  t.is(escaped('/axb/1'), '/axb/…')
})
