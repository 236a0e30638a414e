import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { DemoProblem } from './django-environment.ts'

/** The LocalLibrary of the tests: its catalog, and a server that prints its port. */
const SITE = fileURLToPath(new URL('../../test/django-site', import.meta.url))

/** What the demo changes: settings, URLs and the page's frame. */
const CHANGES = fileURLToPath(new URL('site', import.meta.url))

/**
 * Serves LocalLibrary by Django on a free port of 127.0.0.1. Returns its URL. Django ends with this process, however that
 * ends, because its standard input ends; and this process ends when Django does.
 * @throws {DemoProblem}
 */
export async function startDjango(python: string, { database }: { database: string }): Promise<string> {
  const django = spawn(python, ['serve.py'], {
    cwd: SITE,
    env: {
      ...inherited(),
      PYTHONPATH: CHANGES,
      PYTHONDONTWRITEBYTECODE: '1',
      DJANGO_SETTINGS_MODULE: 'demo_settings',
      DEMO_DATABASE: database,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
    // Not in the terminal's group: after Ctrl-C, the requests that Node passed on are answered first.
    detached: true,
  })
  const [port] = await Promise.race([once(createInterface(django.stdout), 'line'), once(django, 'close')])
  if (typeof port !== 'string' || !/^\d+$/.test(port))
    throw new DemoProblem('Django did not start; its error is above')
  django.once('exit', () => {
    console.error('demo: Django ended')
    process.once('exit', () => {
      process.exitCode = 2
    })
    process.kill(process.pid, 'SIGTERM')
  })
  return `http://127.0.0.1:${port}`
}

/** The variables of the system, none of another Django project. */
function inherited(): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'TEMP', 'TMP', 'SYSTEMROOT']
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}
