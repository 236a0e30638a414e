import { Buffer } from 'node:buffer'
import test from 'ava'
import { type FormLimits, type FormRequest, parseForm, parseQuery } from '../../src/http/form.ts'

/** A request that remembers the limits with which its body was read. */
function request(contentType: string, body: string): FormRequest & { readonly limits: number[] } {
  const limits: number[] = []
  return {
    limits,
    contentType,
    async readBody(maxBytes) {
      limits.push(maxBytes)
      return Buffer.from(body)
    },
  }
}

test('a form is read from bytes, and of one name the last value counts', async (t) => {
  const urlencoded = request('application/x-www-form-urlencoded', 'title=a&title=%ED%99%8D+b&empty')
  const form = await parseForm(urlencoded)
  t.is(form.get('title'), '홍 b')
  t.deepEqual(form.getAll('title'), ['a', '홍 b'])
  t.is(form.get('empty'), '')
  t.is(form.get('missing'), undefined)
  t.deepEqual(form.getAll('missing'), [])
  t.deepEqual(urlencoded.limits, [2_621_440]) // Django's DATA_UPLOAD_MAX_MEMORY_SIZE

  const part = '--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nmultipart\r\n--b--\r\n'
  t.is((await parseForm(request('multipart/form-data; boundary=b', part))).get('title'), 'multipart')
})

test('a body that is not a form is left unread', async (t) => {
  for (const contentType of ['', 'application/json', 'text/plain']) {
    const other = request(contentType, 'title=a')
    t.is((await parseForm(other)).get('title'), undefined)
    t.deepEqual(other.limits, [])
  }
})

const refused: readonly [name: string, code: string, body: FormRequest, limits: FormLimits][] = [
  [
    'more fields than allowed',
    'ERR_TOO_MANY_FIELDS',
    request('application/x-www-form-urlencoded', 'a=1&b=2&c=3'),
    { maxFields: 2 },
  ],
  [
    'more files than allowed',
    'ERR_TOO_MANY_FILES',
    request(
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n1\r\n--b--\r\n',
    ),
    { maxFiles: 0 },
  ],
  ['a boundary that is missing', 'ERR_UNREADABLE_POST', request('multipart/form-data', ''), {}],
]

for (const [name, code, body, limits] of refused) {
  test(`${name} is an error with the status 400`, async (t) => {
    await t.throwsAsync(parseForm(body, limits), { code })
    const error = await parseForm(body, limits).catch((reason: unknown) => reason)
    t.like(error, { status: 400, statusCode: 400, expose: true })
  })
}

test('a query is read as a form, with the same limit of fields', (t) => {
  t.deepEqual(parseQuery('page=1&page=%32').getAll('page'), ['1', '2'])
  t.throws(() => parseQuery('a&b&c', { maxFields: 2 }), { code: 'ERR_TOO_MANY_FIELDS' })
})
