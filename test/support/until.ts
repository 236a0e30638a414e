import { setTimeout as delay } from 'node:timers/promises'

/** Waits until the condition holds. @throws Error that names it, after a minute. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within a minute: ${what}`)
    await delay(10)
  }
}
