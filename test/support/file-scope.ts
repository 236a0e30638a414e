import type { ExecutionContext, TestFn } from 'ava'

/** What a resource needs of a test: a place to put its own end. */
export type Scope = Pick<ExecutionContext, 'teardown'>

/**
 * A scope for the whole test file, for resources that are too slow to start for each test:
 * `const file = fileScope(test)`, then `startDjango(file, …)` in `test.before`. The last one made ends first.
 */
export function fileScope(test: TestFn<never> | TestFn): Scope {
  const ends: (() => unknown)[] = []
  ;(test as TestFn).after.always('what the file started is ended', async () => {
    for (const end of ends.reverse()) await end()
  })
  return { teardown: (end) => void ends.push(end) }
}
