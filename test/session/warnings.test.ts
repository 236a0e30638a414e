import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { projectFolder } from '../support/places.ts'

const run = promisify(execFile)

/** Runs a program that uses the library; returns the warnings of its process, in order. */
async function warningsOf(program: string, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const source = `
    import { once } from 'node:events'
    import { setImmediate } from 'node:timers/promises'
    import Koa from 'koa'
    import knex from 'knex'
    import { djangoSessions } from './src/index.ts'
    const warnings = []
    process.on('warning', (warning) => {
      if (warning.name === 'DjangoSessionsWarning') warnings.push(warning.code + ' ' + warning.message)
    })
    const db = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
    await db.raw('CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime)')
    const add = (session_key, session_data) =>
      db('django_session').insert({ session_key, session_data, expire_date: '2999-01-01 00:00:00' })
    let time = Date.UTC(2026, 0)
    const options = { db, secretKeys: ['only here'], djangoVersion: '4.2', now: () => new Date(time) }
    async function serve(handler, more = {}) {
      const app = new Koa()
      app.use(djangoSessions({ ...options, ...more })).use(handler)
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      server.unref()
      return async (cookie = '') => {
        const response = await fetch('http://127.0.0.1:' + server.address().port, { headers: { cookie } })
        await response.text()
        return response.headers.getSetCookie()[0]?.split(';')[0]
      }
    }
    ${program}
    await setImmediate()
    console.log(JSON.stringify(warnings))
    process.exit()`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', source], {
    cwd: projectFolder,
    env: { ...process.env, NODE_ENV: '', ...env },
  })
  return JSON.parse(stdout)
}

const CHANGES = `
  const visit = await serve(async (ctx) => {
    const session = await ctx.session.load()
    if (session.isEmpty) session.update({ cart: [], seen: [] })
    else for (const key of ['cart', 'seen']) session.get(key).push(1)
    ctx.body = 'ok'
  }, more)
  const cookie = await visit()
  for (let i = 0; i < 5; i += 1) await visit(cookie)`

test('in development a lost change inside a value causes one warning for each key', async (t) => {
  for (const NODE_ENV of ['', 'development', 'test']) {
    const warnings = await warningsOf(`const more = {};${CHANGES}`, { NODE_ENV })
    t.deepEqual(
      warnings.map(
        (text) => /^SESSION_LOST_CHANGE the session's value ("\w+") was changed inside/.exec(text)?.[1],
      ),
      ['"cart"', '"seen"'],
    )
  }
  t.deepEqual(await warningsOf(`const more = {};${CHANGES}`, { NODE_ENV: 'production' }), [])
  t.deepEqual(await warningsOf(`const more = { events: { lostChange() {} } };${CHANGES}`), [])
  t.deepEqual(await warningsOf(`const more = { events: { lostChange: null } };${CHANGES}`), [])
  t.deepEqual(await warningsOf(`const more = { saveEveryRequest: true };${CHANGES}`), [])
})

test('the number of warnings about lost changes is bounded', async (t) => {
  const warnings = await warningsOf(`
    let count = 0
    const visit = await serve(async (ctx) => {
      const session = await ctx.session.load()
      if (session.isEmpty) for (let key = 0; key < 200; key += 1) session.set('key' + key, [])
      else for (const value of session.values()) value.push(1)
      ctx.body = 'ok'
    })
    await visit(await visit())`)
  t.is(warnings.length, 100)
})

const UNREADABLE = `
  for (const key of ['a', 'b', 'c']) await add(key.repeat(32), 'not signed, but a secret')
  await add('d'.repeat(32), 'eyJzZWNyZXQiOjF9:1tYqKE:c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXI')
  const visit = await serve(async (ctx) => {
    await ctx.session.load()
    ctx.body = 'ok'
  }, more)
  const visitAll = async () => {
    for (const key of ['a', 'b', 'c', 'd']) await visit('sessionid=' + key.repeat(32))
  }
  await visitAll()
  time += 59_000
  await visitAll()
  time += 2000
  await visitAll()`

test('a session that cannot be read causes one warning a minute for each reason, in production too', async (t) => {
  const warnings = await warningsOf(`const more = {};${UNREADABLE}`, { NODE_ENV: 'production' })
  t.deepEqual(
    warnings.map((text) => /^SESSION_UNREADABLE .*\(([\w-]+)\)\. It stays as it is/.exec(text)?.[1]),
    ['format', 'signature', 'format', 'signature'],
  )
  for (const warning of warnings) t.notRegex(warning, /aaaa|bbbb|dddd|secret,|not signed|eyJ/)
  t.deepEqual(await warningsOf(`const more = { events: { unreadable() {} } };${UNREADABLE}`), [])
})

test('listeners that throw fail no request, and cause one warning each', async (t) => {
  const warnings = await warningsOf(`
    const fail = (event) => () => { throw new TypeError('a session key of ' + event) }
    const names = ['unreadable', 'conflict', 'load', 'decode', 'lostChange']
    const events = Object.fromEntries(names.map((name) => [name, fail(name)]))
    let meanwhile = async () => {}
    const visit = await serve(async (ctx) => {
      const session = await ctx.session.load()
      await meanwhile()
      if (ctx.get('cookie') === '' || session.isEmpty) session.set('cart', [])
      else if (ctx.get('cookie').endsWith('; quiet')) session.get('cart').push(1)
      else session.compute('count', (count = 0) => count + 1)
      ctx.body = 'ok'
    }, { events })
    const cookies = []
    await add('a'.repeat(32), 'not signed, but a secret')
    cookies.push(await visit('sessionid=' + 'a'.repeat(32)))
    const cookie = await visit()
    let isFirst = true
    meanwhile = async () => {
      if (!isFirst) return
      isFirst = false
      // Another process: this one would queue.
      await db('django_session').where({ session_key: cookie.slice('sessionid='.length) })
        .update({ session_data: await codecText() })
    }
    async function codecText() {
      const { createSessionCodec, versionProfile } = await import('./src/index.ts')
      const codec = createSessionCodec({ secretKeys: ['only here'], profile: versionProfile('4.2'), now: options.now })
      return codec.encode(new Map([['cart', '[]'], ['count', '41']]))
    }
    cookies.push(await visit(cookie))
    cookies.push(await visit(cookie + '; quiet'))
    const row = await db('django_session').where({ session_key: cookie.slice('sessionid='.length) }).first()
    warnings.push('cookies ' + cookies.map((value) => value !== undefined))
    warnings.push('count ' + Buffer.from(row.session_data.split(':')[0], 'base64url'))`)
  const [cookies, data, ...told] = [...warnings.slice(-2), ...warnings.slice(0, -2)]
  t.deepEqual(cookies, 'cookies true,true,false')
  t.regex(data ?? '', /"count": ?42/)
  t.deepEqual(
    told.map((text) => /^SESSION_LISTENER_FAILED events\.(\w+) threw \(TypeError, at /.exec(text)?.[1]),
    ['load', 'unreadable', 'decode', 'conflict', 'lostChange'],
  )
  for (const text of warnings) t.notRegex(text, /a session key/)
})
