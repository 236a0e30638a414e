import { setTimeout as delay } from 'node:timers/promises'

/** Waits until the condition holds. @throws Error that names it, or tells the state, after a minute. */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`Not within a minute: ${typeof what === 'string' ? what : what()}`)
    await delay(10)
  }
}
