/** The programs of docs/websockets.md, as they stand, beside real Django: they let users in, and a logout of Django ends them. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { HocuspocusProvider, type onCloseParameters } from '@hocuspocus/provider'
import test from 'ava'
import { io } from 'socket.io-client'
import { WebSocket } from 'ws'
import { Doc } from 'yjs'
import { blocksOf, readPage } from '../docs/pages.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { projectFolder } from '../support/places.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'

const programs = blocksOf(readPage('docs/websockets.md')).filter(({ language }) => language === 'ts')
const origin = 'https://www.example.com'

/** The program that imports from this package; undefined: from none but ours and knex. */
function programWith(name: string | undefined): string {
  const found = programs.filter(({ text }) => {
    const others = [...text.matchAll(/ from '([^']+)'$/gm)].map(([, from]) => from)
    return others.find((one) => !/^node:|^knex$|^koa-django-sessions$/.test(one ?? '')) === name
  })
  if (found.length !== 1) throw new Error(`docs/websockets.md has ${found.length} programs with ${name}`)
  return found[0]?.text ?? ''
}

const BEGIN = `
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
engine = import_module(settings.SESSION_ENGINE)
keys = {}
for name in ('ann', 'ben'):
    user = get_user_model().objects.create(username=name, password='pbkdf2_sha256$1$salt$x', is_superuser=name == 'ann')
    request = HttpRequest()
    request.session = engine.SessionStore()
    login(request, user, backend='django.contrib.auth.backends.ModelBackend')
    request.session.save()
    keys[name] = request.session.session_key
print(json.dumps(keys))
`

const LOGOUT = `
import sys
from importlib import import_module
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest
request = HttpRequest()
request.session = import_module(settings.SESSION_ENGINE).SessionStore(sys.stdin.read())
logout(request)
`

interface Running {
  readonly url: string
  /** The Cookie headers of two users of Django; the first may do everything. */
  readonly ann: string
  readonly ben: string
  /** Logs ann out, by Django. */
  logOut(): Promise<void>
}

/** The databases of the driver that the programs name. */
const databases = (['mariadb', 'mysql'] as const).filter((name) => testDatabases.includes(name))

/** Runs the program, on the site of this Django; the values of the page are those of this site. */
async function run(t: Scope, program: string, version: string, at: number): Promise<Running> {
  const database = databases[at % databases.length] ?? 'mariadb'
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
  const env = { ...serviceEnvironment({ version, databaseUrl }), SECRET_KEY: secretKey }
  const keys: Record<'ann' | 'ben', string> = JSON.parse(await djangoShell(version, { env, script: BEGIN }))

  const values = {
    "'mysql://bridge:secret@127.0.0.1/library'": JSON.stringify(databaseUrl),
    "'the SECRET_KEY of settings.py'": JSON.stringify(secretKey),
    "djangoVersion: '4.2'": `djangoVersion: '${version}'`,
    "'koa-django-sessions'": JSON.stringify(pathToFileURL(join(projectFolder, 'src/index.ts'))),
    '.listen(3000)': ".listen(0, '127.0.0.1', function () { process.send(this.address().port) })",
  }
  let text = program
  for (const [onPage, here] of Object.entries(values)) {
    if (text.split(onPage).length !== 2) throw new Error(`${onPage} must be once in the program`)
    text = text.replace(onPage, () => here)
  }
  const folder = temporaryFolder(t)
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'server.ts'), `${text}\nprocess.on('disconnect', () => process.exit())\n`)
  const child = fork(join(folder, 'server.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const [port] = await Promise.race([once(child, 'message'), ended])
  return {
    url: `127.0.0.1:${port}`,
    ann: `sessionid=${keys.ann}`,
    ben: `sessionid=${keys.ben}`,
    logOut: async () => void (await djangoShell(version, { env, script: LOGOUT, input: keys.ann })),
  }
}

/** A Django of its own for each program: the oldest, the newest, and two between. */
const versionFor = (at: number): string =>
  djangoVersions[Math.round((at * (djangoVersions.length - 1)) / 3)] ?? ''

test(`ws: a logout of Django ${versionFor(0)} closes a WebSocket, and no other`, async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url, ann, ben, logOut } = await run(t, programWith('ws'), versionFor(0), 0)
  const open = (headers: Readonly<Record<string, string>>) => {
    const socket = new WebSocket(`ws://${url}`, { headers })
    t.teardown(() => socket.terminate())
    return socket
  }
  for (const headers of [
    { Origin: origin },
    { Cookie: ann, Origin: 'https://evil.example' },
    { Cookie: ann },
  ])
    t.is((await once(open(headers), 'error'))[0].code, 'ECONNRESET')
  const [hers, his] = [open({ Cookie: ann, Origin: origin }), open({ Cookie: ben, Origin: origin })]
  const [[hello], [other]] = await Promise.all([once(hers, 'message'), once(his, 'message')])
  t.deepEqual([String(hello), String(other)], ['Hello ann', 'Hello ben'])
  const closed = once(hers, 'close')
  await logOut()
  const [code, reason] = await closed
  t.deepEqual([code, String(reason)], [4401, 'logout'])
  t.is(his.readyState, WebSocket.OPEN)
})

test(`an event stream ends at a logout of Django ${versionFor(1)}`, async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url, ann, logOut } = await run(t, programWith(undefined), versionFor(1), 1)
  t.is((await fetch(`http://${url}`)).status, 401)
  const response = await fetch(`http://${url}`, { headers: { Cookie: ann } })
  const text = response.text()
  await logOut()
  t.is(await text, 'data: Hello ann\n\nevent: end\ndata: logout\n\n')
})

test(`Socket.IO: a logout of Django ${versionFor(2)} disconnects a client, and no other`, async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url, ann, ben, logOut } = await run(t, programWith('socket.io'), versionFor(2), 2)
  // By polling first, and then a WebSocket, as by default in browsers.
  const open = (headers: Readonly<Record<string, string>>) => {
    const socket = io(`http://${url}`, { extraHeaders: headers, reconnectionDelay: 50 })
    t.teardown(() => socket.close())
    return socket
  }
  const heard = (socket: ReturnType<typeof open>, event: string) =>
    new Promise((resolve) => void socket.once(event, resolve))
  const [nobody, evil] = [open({}), open({ Cookie: ann, Origin: 'https://evil.example' })]
  const refusals = await Promise.all([nobody, evil].map((socket) => heard(socket, 'connect_error')))
  t.deepEqual(
    refusals.map((error) => (error as Error).message),
    ['log in first', 'xhr poll error'],
  )
  evil.close()
  const [hers, his] = [open({ Cookie: ann, Origin: origin }), open({ Cookie: ben })]
  t.deepEqual(await Promise.all([heard(hers, 'hello'), heard(his, 'hello')]), ['ann', 'ben'])
  await until('both have a WebSocket', () =>
    [hers, his].every(({ io: { engine } }) => engine.transport.name === 'websocket'),
  )
  const ended = Promise.all([heard(hers, 'end'), heard(hers, 'disconnect')])
  await logOut()
  t.deepEqual(await ended, ['logout', 'io server disconnect'])
  t.deepEqual([hers.active, his.connected], [false, true])
})

test(`Yjs: a logout of Django ${versionFor(3)} ends the editing of a user, and of no other`, async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url, ann, ben, logOut } = await run(t, programWith('@hocuspocus/server'), versionFor(3), 3)
  const open = (cookie: string) => {
    class Browser extends WebSocket {
      constructor(address: string) {
        super(address, { headers: { Cookie: cookie, Origin: origin } })
      }
    }
    const closes = new Set<string>()
    const document = new Doc()
    const options = {
      url: `ws://${url}`,
      name: 'a note',
      document,
      WebSocketPolyfill: Browser,
      onClose({ event }: onCloseParameters) {
        closes.add(`${event.code} ${event.reason}`)
        if (event.code === 4401) provider.disconnect()
      },
    }
    const provider: HocuspocusProvider = new HocuspocusProvider(options)
    t.teardown(() => {
      provider.destroy()
      document.destroy()
    })
    return { provider, text: document.getText('note'), closes }
  }
  const [hers, his] = [open(ann), open(ben)]
  await until('both have the note', () => hers.provider.synced && his.provider.synced)
  t.deepEqual([hers.provider.authorizedScope, his.provider.authorizedScope], ['read-write', 'readonly'])
  hers.text.insert(0, 'by ann')
  await until('the other reads it', () => String(his.text) === 'by ann')
  his.text.insert(0, 'not ')
  await logOut()
  await until('she is out', () => hers.closes.size > 0)
  t.deepEqual([[...hers.closes], [...his.closes]], [['4401 logout'], []])
  const { websocketProvider } = hers.provider.configuration
  await until('her provider has stopped', () => websocketProvider.status === 'disconnected')
  t.false(websocketProvider.shouldConnect)
  t.is(String(hers.text), 'by ann')
})
