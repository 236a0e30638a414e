import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { runCommand, startCommand } from '../support/service.ts'

const secret = 'a key of the command line, from the tests'
const env = { DJANGO_SECRET_KEY: secret }
const lines = (text: string) => text.split('\n').slice(0, -1)

test('only a line feed ends a line, however the input is split into chunks', async (t) => {
  const objects = [
    '{"a":"\u2028\u2029\u0085\u000b"}'.replace('\u000b', '\\u000b'),
    '{"홍길동":"😀"}',
    '{"end":1}',
  ]
  const bytes = Buffer.from(objects.join('\r\n'))
  const encode = startCommand(t, ['encode'], { env })
  for (const byte of bytes) {
    encode.stdin.write(Uint8Array.of(byte))
    if (byte > 0x7f) await delay(1) // So that the bytes of a character arrive one by one.
  }
  encode.stdin.end()
  t.is(await encode.ended, 0, encode.stderr())
  const { stdout } = await runCommand(t, ['decode'], { env, input: encode.stdout() })
  t.deepEqual(lines(stdout), [
    '{"a":"\\u2028\\u2029\\u0085\\u000b"}',
    '{"\\ud64d\\uae38\\ub3d9":"\\ud83d\\ude00"}',
    '{"end":1}',
  ])
})

test('a session of megabytes is one line', async (t) => {
  const json = JSON.stringify({ a: 'x'.repeat(4_000_000), b: '한'.repeat(500_000) })
  const encoded = await runCommand(t, ['encode'], { env, input: `${json}\n${json}\n` })
  t.is(encoded.status, 0)
  const decoded = await runCommand(t, ['decode'], { env, input: encoded.stdout })
  t.is(decoded.status, 0, decoded.stderr)
  const values = lines(decoded.stdout)
  t.is(values.length, 2)
  for (const value of values) t.true(JSON.stringify(JSON.parse(value)) === json)
})

test('a closed output pipe ends a command without an error', async (t) => {
  const encode = startCommand(t, ['encode'], { env })
  encode.stdin.write('{"a":1}\n')
  await once(encode.output, 'data')
  encode.output.destroy()
  const feed = setInterval(() => encode.stdin.write('{"a":1}\n'), 10)
  t.is(await encode.ended, 0)
  clearInterval(feed)
  t.is(encode.stderr(), '')
})

test('no input gives no output', async (t) => {
  for (const command of ['encode', 'decode'])
    t.deepEqual(await runCommand(t, [command], { env }), { status: 0, stdout: '', stderr: '' })
})

test('no option takes a secret, and an error does not repeat the argument', async (t) => {
  for (const command of ['serve', 'encode', 'decode']) {
    for (const option of ['--secret-key', '--key', '--database-url']) {
      const { status, stdout, stderr } = await runCommand(t, [command, option, secret], { input: '{}\n' })
      t.is(status, 2)
      t.is(stdout, '')
      t.regex(stderr, /^error: unknown option /)
      t.false(stderr.includes(secret))
    }
  }
})

test('an unknown command or format, or no command, is an error that shows the choices', async (t) => {
  for (const args of [[], ['decod'], ['encode', '--format', 'pickle']]) {
    const { status, stdout, stderr } = await runCommand(t, args, { env, input: '{}\n' })
    t.deepEqual([status, stdout], [2, ''], args.join(' '))
    t.regex(stderr, /Usage: koa-django-sessions/)
  }
})
