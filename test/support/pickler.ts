import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pythonOf } from './django-environments.ts'
import { dyingWithUs } from './executables.ts'
import type { Scope } from './file-scope.ts'

/** Loads a pickle in a real Python and pickles the result in the given protocol. A Python exception rejects. */
export type Pickler = (pickle: Uint8Array, protocol: number) => Promise<Buffer>

/** Starts the Python of a Django environment, with its pytz and Django. It ends with the scope. */
export function startPickler(t: Scope, version: string): Pickler {
  const script = fileURLToPath(new URL('pickler.py', import.meta.url))
  const python = spawn(...dyingWithUs(pythonOf(version), ['-W', 'ignore', script]), {
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const waiting: ((line: string) => void)[] = []
  createInterface(python.stdout).on('line', (line) => waiting.shift()?.(line))
  t.teardown(async () => {
    python.stdin.end()
    if (python.exitCode === null) await once(python, 'exit')
  })
  return async (pickle, protocol) => {
    const answer = new Promise<string>((resolve) => waiting.push(resolve))
    python.stdin.write(`${JSON.stringify({ pickle: Buffer.from(pickle).toString('base64'), protocol })}\n`)
    const reply: { pickle?: string; error?: string } = JSON.parse(await answer)
    if (reply.pickle === undefined) throw new Error(reply.error)
    return Buffer.from(reply.pickle, 'base64')
  }
}
