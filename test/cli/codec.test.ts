import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { projectFolder } from '../support/places.ts'
import { runCommand } from '../support/service.ts'
import { readVectors } from '../vectors/_vectors.ts'

const secret = 'a key of the command line, from the tests'
const env = { DJANGO_SECRET_KEY: secret }
const lines = (text: string) => text.split('\n').slice(0, -1)

test('decode reads what encode writes, in both formats', async (t) => {
  const objects = [
    '{}',
    '{"num_visits":1}',
    '{"10":1.0,"2":1e+22,"__proto__":[NaN,Infinity,-Infinity,-0.0]}',
    '{"big":123456789012345678901234567890,"name":"\\ud64d\\uae38\\ub3d9","lone":"\\ud83d"}',
  ]
  for (const format of ['legacy', 'signed']) {
    const encoded = await runCommand(t, ['encode', '--format', format], {
      env,
      input: `${objects.join('\n')}\n`,
    })
    t.deepEqual([encoded.status, encoded.stderr], [0, ''])
    const decoded = await runCommand(t, ['decode', '--verbose'], { env, input: encoded.stdout })
    t.deepEqual(lines(decoded.stdout), objects)
    const [first] = lines(decoded.stderr)
    t.is(first, `line 1: ${format} format, DJANGO_SECRET_KEY`)
  }
})

test('encode accepts any JSON formatting, and writes the form of Python', async (t) => {
  const input = '{ "name" : "홍길동 😀", "a": [ 1.50, 1E3 ], "name": "é" }\n'
  const { stdout } = await runCommand(t, ['encode'], { env, input })
  const decoded = await runCommand(t, ['decode'], { env, input: stdout })
  t.is(decoded.stdout, '{"name":"\\u00e9","a":[1.5,1000.0]}\n')
})

test('DJANGO_VERSION decides the formats of encode and decode', async (t) => {
  const old = { ...env, DJANGO_VERSION: '2.2' }
  const { stdout } = await runCommand(t, ['encode'], { env: old, input: '{"a":1}\n' })
  t.regex(Buffer.from(stdout, 'base64').toString(), /^[0-9a-f]{40}:\{"a":1\}$/)
  t.is((await runCommand(t, ['decode'], { env: old, input: stdout })).stdout, '{"a":1}\n')
  const wrong = await runCommand(t, ['decode'], { env: { ...env, DJANGO_VERSION: '4.2' }, input: stdout })
  t.deepEqual([wrong.status, wrong.stdout], [1, '\n'])
})

test('for a value that does not verify, decode prints an empty line, its number and the reason, and exits with 1', async (t) => {
  const { stdout: good } = await runCommand(t, ['encode'], { env, input: '{"a":1}\n' })
  const forged = good.trim().replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
  const input = `${good}nonsense\n${forged}\n\n${good}`
  const { status, stdout, stderr } = await runCommand(t, ['decode'], { env, input })
  t.is(status, 1)
  t.deepEqual(lines(stdout), ['{"a":1}', '', '', '', '{"a":1}'])
  t.deepEqual(
    lines(stderr).map((line) => line.slice(0, 8)),
    ['line 2: ', 'line 3: ', 'line 4: '],
  )
  t.regex(stderr, /line 2: .*format/)
  t.regex(stderr, /line 3: .*matches none of the secret keys/)
  t.false(stderr.includes(secret))
})

test('for a line that is not a JSON object, encode prints an empty line and exits with 1', async (t) => {
  const { status, stdout, stderr } = await runCommand(t, ['encode'], { env, input: '[1]\n{"a":\n{"a":1}\n' })
  t.is(status, 1)
  t.deepEqual(lines(stdout).map(Boolean), [false, false, true])
  t.regex(stderr, /^line 1: .*object/)
  t.regex(stderr, /\nline 2: /)
})

for (const file of ['django-2.2', 'django-3.2-sha1', 'django-6.1'] as const) {
  test(`decode prints every value of ${file} as Python does, and --verbose names the key`, async (t) => {
    const bySecret = Map.groupBy(
      readVectors(file).sessions.filter(
        ({ secretKey, salt }) => secretKey !== null && /sessions\.?SessionStore$/.test(salt),
      ),
      ({ secretKey }) => secretKey,
    )
    for (const [secretKey, rows] of bySecret) {
      const options = {
        env: { DJANGO_SECRET_KEY: 'the new key', DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([secretKey]) },
        input: rows.map(({ session_data }) => `${session_data}\n`).join(''),
      }
      const signed = rows.every(({ format }) => format === 'signed')
      // Fallback keys exist since 4.1; the legacy format supports one key.
      const env = signed ? options.env : { DJANGO_SECRET_KEY: String(secretKey) }
      const { status, stdout, stderr } = await runCommand(t, ['decode', '--verbose'], { ...options, env })
      t.is(status, 0, stderr)
      t.deepEqual(
        lines(stdout),
        rows.map(({ decodesToJson }) => decodesToJson),
      )
      t.regex(
        stderr,
        signed ? /^line 1: signed format, fallback key 1\n/ : /^line 1: legacy format, DJANGO_SECRET_KEY\n/,
      )
    }
  })
}

test('decode handles ten thousand lines', async (t) => {
  const { stdout: one } = await runCommand(t, ['encode'], { env, input: '{"a":1}\n' })
  const { status, stdout } = await runCommand(t, ['decode'], { env, input: one.repeat(10_000) })
  t.is(status, 0)
  t.is(stdout, '{"a":1}\n'.repeat(10_000))
})

test('without a secret key, a command names the variable to set', async (t) => {
  const { status, stdout, stderr } = await runCommand(t, ['decode'], { input: 'x\n' })
  t.deepEqual([status, stdout], [2, ''])
  t.is(stderr, 'SettingsError: DJANGO_SECRET_KEY is empty; set it to the SECRET_KEY of the Django project\n')
})

test('npm run cli passes its arguments on', async (t) => {
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'cli', '--', '--help'], {
    cwd: projectFolder,
  })
  for (const command of ['serve', 'decode', 'encode']) t.true(stdout.includes(command))
})

test('with a PickleSerializer in SESSION_SERIALIZER, encode pickles and decode unpickles', async (t) => {
  const pickling = {
    ...env,
    DJANGO_VERSION: '4.2',
    SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer',
  }
  const object = '{"a":[1,1.0,null],"name":"\\ud64d"}'
  const { stdout } = await runCommand(t, ['encode'], { env: pickling, input: `${object}\n` })
  const tuple = readVectors('django-4.2').sessionsPickle.find(({ name }) => /tuple|set|datetime/i.test(name))
  t.truthy(tuple)
  const decoded = await runCommand(t, ['decode'], { env: pickling, input: stdout })
  t.deepEqual([decoded.stdout, decoded.status], [`${object}\n`, 0])
  const asJson = await runCommand(t, ['decode'], { env, input: stdout })
  t.deepEqual([asJson.stdout, asJson.status], ['\n', 1])
  t.regex(asJson.stderr, /line 1: .*check SESSION_SERIALIZER/)

  const pickled = await runCommand(t, ['decode'], {
    env: { ...pickling, DJANGO_SECRET_KEY: String(tuple?.secretKey) },
    input: `${tuple?.session_data}\n`,
  })
  t.deepEqual([pickled.stdout, pickled.status], ['\n', 1])
  t.regex(pickled.stderr, /line 1: .* of the Python type \w+, which JSON cannot represent/)
})
