import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pythonCommand, pythonEnvironment } from './django-processes.ts'
import type { Scope } from './file-scope.ts'
import { siteFolder } from './places.ts'

/** One of real Django's `caches`; values are Python expressions in, and what `repr` prints out. */
export interface DjangoCache {
  set(key: string, value: string, timeout: number): Promise<string>
  add(key: string, value: string, timeout: number): Promise<string>
  get(key: string): Promise<string>
  delete(key: string): Promise<string>
}

/** Starts a Python with these CACHES, which ends with the scope. Returns each by its name. A Python exception rejects. */
export function startDjangoCaches(
  t: Scope,
  version: string,
  caches: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): (name: string) => DjangoCache {
  const server = spawn(...pythonCommand(version, ['cache.py']), {
    cwd: siteFolder,
    env: { ...pythonEnvironment, CACHES: JSON.stringify(caches) },
  })
  t.teardown(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'close')
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
    for (const { reject } of waiting) reject(new Error(`The caches of Django ${version} ended:\n${errors}`))
  })
  server.stdin.on('error', () => null) // 'close' tells more.
  const call = (request: object) =>
    new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject })
      server.stdin.write(`${JSON.stringify(request)}\n`)
    })
  return (cache) => ({
    set: (key, value, timeout) => call({ cache, do: 'set', key, value, timeout }),
    add: (key, value, timeout) => call({ cache, do: 'add', key, value, timeout }),
    get: (key) => call({ cache, do: 'get', key }),
    delete: (key) => call({ cache, do: 'delete', key }),
  })
}
