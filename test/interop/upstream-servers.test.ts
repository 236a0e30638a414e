import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { startBefore } from '../service/proxy/behind.ts'
import { serversPython } from '../support/django-environments.ts'
import { dyingWithUs } from '../support/executables.ts'
import type { Scope } from '../support/file-scope.ts'
import { freePort } from '../support/free-port.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

/** `/page?n=N` shows N, so that each answer is different, the process, and the port of the connection. */
const SITE = `
import os
from django.conf import settings
settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__,
    MIDDLEWARE=['django.middleware.common.CommonMiddleware'])
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

@csrf_exempt
def page(request):
    n = request.GET.get('n', '')
    if request.GET.get('status'):
        return HttpResponse('HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\npoison', status=int(request.GET['status']))
    if request.GET.get('stream'):
        return StreamingHttpResponse(iter([n.encode(), b' ', str(os.getpid()).encode(), b' ', str(request.META.get('REMOTE_PORT', '')).encode()]))
    return HttpResponse(f"{n} {os.getpid()} {request.META.get('REMOTE_PORT', '')} {len(request.body)} ".encode().ljust(3000))

urlpatterns = [path('page', page)]
application = get_wsgi_application()
asgi = get_asgi_application()
`

interface Server {
  readonly name: string
  /** The arguments of Python for a server at this port. */
  readonly args: (port: number) => readonly string[]
  /** Whether it keeps connections, so that fewer are opened than requests sent. */
  readonly keeps: boolean
  /**
   * How all workers finish and start anew: by a signal, or when the file `reload` is touched. `stop`: the server can only be
   * stopped and started.
   */
  readonly restart: 'SIGHUP' | 'touch' | 'stop'
}

const GUNICORN = ['-m', 'gunicorn', '--workers=2', 'site_under_test']
const UWSGI = [
  '--master',
  '--workers=2',
  '--module=site_under_test',
  '--disable-logging',
  '--die-on-term',
  '--touch-workers-reload=reload',
]

const servers: readonly Server[] = [
  {
    name: 'gunicorn, sync workers',
    args: (port) => [...GUNICORN, `--bind=127.0.0.1:${port}`],
    keeps: false,
    restart: 'SIGHUP',
  },
  {
    name: 'gunicorn, gthread workers',
    args: (port) => [...GUNICORN, '--threads=4', `--bind=127.0.0.1:${port}`],
    keeps: true,
    restart: 'SIGHUP',
  },
  {
    name: 'uvicorn',
    args: (port) => ['-m', 'uvicorn', '--port', String(port), '--log-level=error', 'site_under_test:asgi'],
    keeps: true,
    restart: 'stop',
  },
  {
    name: 'uWSGI, http',
    args: (port) => ['uwsgi', ...UWSGI, `--http=127.0.0.1:${port}`],
    keeps: false,
    restart: 'touch',
  },
  {
    name: 'uWSGI, http-socket',
    args: (port) => ['uwsgi', ...UWSGI, `--http-socket=127.0.0.1:${port}`],
    keeps: false,
    restart: 'touch',
  },
]

interface Running {
  readonly url: string
  restart(): Promise<void>
}

async function startServer(t: Scope, python: string, { args, restart }: Server): Promise<Running> {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'site_under_test.py'), SITE)
  writeFileSync(join(folder, 'reload'), '')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [first = '', ...rest] = args(port)
  // A script beside Python, whose first line names the folder in which its environment was made.
  const script = first === 'uwsgi' ? join(dirname(python), 'uwsgi') : first
  let child: ChildProcess | null = null
  let output = ''
  const start = async () => {
    const started = spawn(...dyingWithUs(python, [script, ...rest], 'SIGTERM'), {
      cwd: folder,
      env: { PATH: process.env.PATH, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', (data) => {
        output = `${output}${data}`.slice(-10_000)
      })
    child = started
    await until('the server answers', async () => {
      if (started.exitCode !== null) throw new Error(output)
      return fetch(`${url}/page`, { headers: { Connection: 'close' } }).then(
        ({ ok }) => ok,
        () => false,
      )
    })
  }
  const stop = async () => {
    if (child === null || child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  t.teardown(stop)
  await start()
  return {
    url,
    async restart() {
      if (restart === 'SIGHUP') child?.kill(restart)
      else if (restart === 'touch') writeFileSync(join(folder, 'reload'), '')
      else {
        await stop()
        await start()
      }
    },
  }
}

const python = serversPython()
if (python !== null) {
  for (const server of servers) {
    test(`behind us under load, with restarts, each request gets its own answer: ${server.name}`, async (t) => {
      t.timeout(110_000)
      const back = await startServer(t, python, server)
      const { url, log } = await startBefore(t, back.url)
      const workers = new Set<string>()
      const ports: string[] = []
      const others: string[] = []
      const over = new AbortController()
      let sent = 0
      async function visitor(): Promise<void> {
        while (!over.signal.aborted) {
          const n = sent
          sent += 1
          const [method, query] = KINDS[n % KINDS.length] ?? ['GET', '']
          const body = method === 'POST' ? 'a'.repeat(n % 5000) : null
          const response = await fetch(`${url}/page?n=${n}${query}`, { method, body })
          const text = await response.text()
          if (response.status === 502 && server.restart === 'stop') continue // It was down.
          const [first, worker = '', port = ''] = text.split(' ')
          if (response.status === 502) others.push(`${method} ${n}: 502`)
          else if (method === 'HEAD' || query.includes('status')) {
            if (text !== '') others.push(`${method} ${n}${query}: ${text}`)
          } else if (first !== String(n)) others.push(`${method} ${n}${query}: ${text.slice(0, 100)}`)
          else {
            workers.add(worker)
            if (method !== 'POST' && port !== '') ports.push(port)
          }
        }
      }
      const visitors = Array.from({ length: 8 }, visitor)
      for (let restarts = 0; restarts < 3; restarts += 1) {
        const [known, before] = [new Set(workers), sent]
        await until('there was some load', () => sent > before + 200)
        await back.restart()
        await until('new workers answer', () => [...workers].some((worker) => !known.has(worker)))
      }
      over.abort()
      await Promise.all(visitors)
      t.deepEqual(others, [])
      t.true(workers.size > 3)
      const fresh = new Set(ports).size / ports.length
      if (ports.length > 0)
        // uWSGI's http-socket does not tell the port.
        t.true(server.keeps ? fresh < 0.8 : fresh > 0.9, `${fresh} of the answers came over a new connection`)
      if (server.restart !== 'stop') t.false(log.events.some(({ level }) => level === 'error'))
    })
  }
}

/** Methods with queries; a server may send the body that HEAD, 204 and 304 must not have. */
const KINDS = [
  ['GET', ''],
  ['GET', '&stream=1'],
  ['POST', ''],
  ['HEAD', ''],
  ['GET', '&status=204'],
  ['GET', '&status=304'],
  ['OPTIONS', ''],
] as const
