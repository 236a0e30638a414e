import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { openSocket, startBefore } from '../service/proxy/behind.ts'
import { djangoVersions } from '../support/django.ts'
import { pythonOf } from '../support/django-environments.ts'
import { dyingWithUs } from '../support/executables.ts'
import type { Scope } from '../support/file-scope.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

/** The version whose environment has Gunicorn. */
const VERSION = '5.2'

const SITE = `
import os, time
from django.conf import settings
settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=['django.middleware.common.CommonMiddleware', 'django.middleware.csrf.CsrfViewMiddleware'])
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

@csrf_exempt
def forbidden(request):
    return HttpResponseForbidden('members only')

@csrf_exempt
def login_required(request):
    return HttpResponseRedirect('/accounts/login/')

@csrf_exempt
def length(request):
    return HttpResponse(f"{len(request.body)} {request.META.get('CONTENT_LENGTH')}")

def events(request):
    def stream():
        yield '' # Gunicorn sends the head with the first part.
        while not os.path.exists(os.environ['GATE']):
            time.sleep(0.02)
        yield 'data: 1\\n\\n'
    return StreamingHttpResponse(stream(), content_type='text/event-stream')

urlpatterns = [path('forbidden', forbidden), path('login', login_required), path('length', length), path('events', events),
    path('csrf', lambda request: HttpResponse('passed'))]
application = get_wsgi_application()
`

/** Django behind two sync workers of Gunicorn, the usual deployment; `gate` is the file that its event stream waits for. */
async function startGunicorn(t: Scope): Promise<{ url: string; gate: string }> {
  const folder = temporaryFolder(t)
  const gate = join(folder, 'gate')
  writeFileSync(join(folder, 'site_under_test.py'), SITE)
  const args = [
    '-m',
    'gunicorn',
    '--bind',
    '127.0.0.1:0',
    '--workers',
    '2',
    '--chdir',
    folder,
    'site_under_test',
  ]
  const gunicorn = spawn(...dyingWithUs(pythonOf(VERSION), args, 'SIGTERM'), {
    env: { PATH: process.env.PATH, GATE: gate, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(async () => {
    gunicorn.kill('SIGTERM')
    await once(gunicorn, 'exit')
  })
  for await (const line of createInterface(gunicorn.stderr)) {
    const [, url] = /Listening at: (http:\/\/\S+)/.exec(line) ?? []
    if (url === undefined) continue
    gunicorn.stderr.resume()
    return { url, gate }
  }
  throw new Error('Gunicorn did not start')
}

if (djangoVersions.includes(VERSION)) {
  test('answers of Django to bodies that it does not read always arrive', async (t) => {
    t.timeout(110_000)
    const { url: upstream } = await startGunicorn(t)
    for (const buffer of [1024 ** 2, 0]) {
      const { url, log } = await startBefore(t, upstream, { buffer })
      for (let round = 0; round < 20; round += 1) {
        for (const size of [20_000, 100_000, 400_000, 1_000_000, 3_000_000]) {
          const statuses = await Promise.all(
            ['nowhere', 'forbidden', 'login', 'csrf'].map(async (path) => {
              const init = { method: 'POST', body: 'a'.repeat(size), redirect: 'manual' } as const
              const response = await fetch(`${url}/${path}`, init)
              await response.text()
              return response.status
            }),
          )
          t.deepEqual(statuses, [404, 403, 302, 403], `${size} bytes, at most ${buffer} held`)
        }
      }
      t.false(log.events.some(({ level }) => level === 'error' || level === 'warn'))
    }
  })

  test("clients that send their bodies slowly block none of Django's workers", async (t) => {
    const { url: upstream } = await startGunicorn(t)
    const { url } = await startBefore(t, upstream)
    const sent = Array(8).fill(0)
    for (let index = 0; index < 8; index += 1) {
      const socket = openSocket(url)
      socket.on('error', () => {})
      socket.write(
        `POST /length HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${index % 2 === 0 ? 1000 : 2_000_000}\r\n\r\n`,
      )
      const drip = setInterval(() => {
        socket.write('a')
        sent[index] += 1
      }, 50)
      t.teardown(() => {
        clearInterval(drip)
        socket.destroy()
      })
    }
    await until('each client has sent some bytes', () => sent.every((bytes) => bytes > 3))
    for (let round = 0; round < 10; round += 1)
      t.is(await (await fetch(`${url}/length`, { method: 'POST', body: 'four' })).text(), '4 4')
  })

  test('a body in chunks reaches Django with its length', async (t) => {
    const { url: upstream } = await startGunicorn(t)
    const { url } = await startBefore(t, upstream)
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from('four'))
        controller.close()
      },
    })
    const response = await fetch(`${url}/length`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    t.is(await response.text(), '4 4')
  })

  test("the response head of Django's event stream arrives before its first event", async (t) => {
    const { url: upstream, gate } = await startGunicorn(t)
    const { url } = await startBefore(t, upstream)
    const response = await fetch(`${url}/events`)
    t.is(response.status, 200)
    t.is(response.headers.get('Content-Type'), 'text/event-stream')
    writeFileSync(gate, '')
    t.is(await response.text(), 'data: 1\n\n')
  })
}
