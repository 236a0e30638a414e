/** Returns the same functions, with each error that they throw, or reject with, replaced by `map` of it. */
export function mapFailures<T extends object>(functions: T, map: (error: unknown) => unknown): T {
  const fail = (error: unknown): never => {
    throw map(error)
  }
  const entries = Object.entries(functions).map(([name, one]) => {
    if (typeof one !== 'function') return [name, one]
    return [
      name,
      (...parameters: unknown[]) => {
        try {
          const result: unknown = one.apply(functions, parameters)
          return result instanceof Promise ? result.catch(fail) : result
        } catch (error) {
          return fail(error)
        }
      },
    ]
  })
  return Object.fromEntries(entries) as T
}
