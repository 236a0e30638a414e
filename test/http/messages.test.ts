import { randomBytes } from 'node:crypto'
import test from 'ava'
import { versionProfile } from '../../src/django/versions.ts'
import { createMessagesRequests, type MessagesOptions } from '../../src/http/messages.ts'
import { NO_HEADERS } from '../../src/http/response-headers.ts'

const options: MessagesOptions = {
  secretKeys: ['a key'],
  profile: versionProfile('5.2'),
  storage: 'cookie',
  sessionCookie: { domain: null, secure: false, httpOnly: true, sameSite: 'Lax' },
}

test('a message is kept in the cookie until a page takes it', async (t) => {
  const requests = createMessagesRequests(options)
  const adding = requests.open({ cookieHeader: undefined, session: null })
  adding.messages.warning('Please log in', { extraTags: 'login' })
  const added = await adding.respond()
  t.regex(added.setCookie ?? '', /^messages="?\S+"?; HttpOnly; Path=\/; SameSite=Lax$/)
  t.is(added.vary?.(''), 'Cookie')

  const cookieHeader = added.setCookie?.split(';')[0]
  const showing = requests.open({ cookieHeader, session: null })
  const shown = await showing.messages.take()
  t.like(shown, [{ level: 30, text: 'Please log in', levelTag: 'warning', tags: 'login warning' }])
  t.regex((await showing.respond()).setCookie ?? '', /^messages=""; expires=Thu, 01 Jan 1970 .*; Max-Age=0;/)
})

test('a request that neither adds nor takes messages gets no headers', async (t) => {
  const { messages, respond } = createMessagesRequests(options).open({
    cookieHeader: undefined,
    session: null,
  })
  messages.debug('below MESSAGE_LEVEL')
  messages.info('')
  t.deepEqual(await respond(), NO_HEADERS)
})

test('the storages in the session need a session', async (t) => {
  for (const storage of ['session', 'fallback'] as const) {
    const { messages, respond } = createMessagesRequests({ ...options, storage }).open({
      cookieHeader: undefined,
      session: null,
    })
    messages.info(randomBytes(4096).toString('base64')) // more than the cookie has room for
    await t.throwsAsync(respond(), { instanceOf: TypeError, message: /messages need a session/ })
  }
})
