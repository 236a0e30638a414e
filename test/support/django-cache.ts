import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pythonOf } from './django-environments.ts'
import { dyingWithUs } from './executables.ts'
import type { Scope } from './file-scope.ts'
import { siteFolder } from './places.ts'

/** Real Django's `caches['default']`; values are Python expressions in, and what `repr` prints out. */
export interface DjangoCache {
  set(key: string, value: string, timeout: number): Promise<string>
  add(key: string, value: string, timeout: number): Promise<string>
  get(key: string): Promise<string>
  delete(key: string): Promise<string>
  /** The key in the medium. */
  key(key: string): Promise<string>
}

/** A Python that lives as long as the scope. `entry` is one of Django's CACHES. What it raises rejects. */
export function startDjangoCache(
  t: Scope,
  version: string,
  entry: Readonly<Record<string, unknown>>,
): DjangoCache {
  const server = spawn(...dyingWithUs(pythonOf(version), ['cache.py']), {
    cwd: siteFolder,
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      CACHES: JSON.stringify({ default: entry }),
    },
  })
  t.teardown(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  })
  let errors = ''
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const waiting: { resolve(result: string): void; reject(error: Error): void }[] = []
  createInterface(server.stdout).on('line', (line) => {
    const { result, error } = JSON.parse(line) as { result?: string; error?: string }
    const call = waiting.shift()
    if (result !== undefined) call?.resolve(result)
    else call?.reject(new Error(error))
  })
  server.once('close', () => {
    for (const { reject } of waiting) reject(new Error(`The cache of Django ${version} ended:\n${errors}`))
  })
  server.stdin.on('error', () => null) // 'close' tells more.
  const call = (request: object) =>
    new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject })
      server.stdin.write(`${JSON.stringify(request)}\n`)
    })
  return {
    set: (key, value, timeout) => call({ do: 'set', key, value, timeout }),
    add: (key, value, timeout) => call({ do: 'add', key, value, timeout }),
    get: (key) => call({ do: 'get', key }),
    delete: (key) => call({ do: 'delete', key }),
    key: (key) => call({ do: 'key', key }),
  }
}
