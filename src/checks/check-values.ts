/**
 * Checks of what a program without types passes to the library. An error says what was wrong, what was expected and what
 * to do.
 */

/** @throws {TypeError} */
export function checkObject(caller: string, name: string, value: unknown): asserts value is object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Promise))
    return
  throw new TypeError(`${caller}: ${name} must be an object, but is ${kindOf(value)}`)
}

/** Each option that is given must be of this type. @throws {TypeError} */
export function checkTypes(
  caller: string,
  options: Readonly<Record<string, unknown>>,
  type: 'boolean' | 'function' | 'number' | 'string',
  which: readonly string[],
): void {
  for (const name of which) {
    const value = options[name]
    if (value === undefined) continue
    if (typeof value === type && value !== null && !Number.isNaN(value)) continue
    throw new TypeError(`${caller}: ${name} must be a ${type}, but is ${kindOf(value)}`)
  }
}

/** @throws {TypeError} */
export function checkSecretKeys(caller: string, secretKeys: unknown): void {
  const expected =
    'must be a list of SECRET_KEY and, after it, SECRET_KEY_FALLBACKS: secretKeys: [SECRET_KEY]'
  if (!Array.isArray(secretKeys) || secretKeys.length === 0)
    throw new TypeError(`${caller}: secretKeys is ${kindOf(secretKeys)}; it ${expected}`)
  for (const [index, key] of secretKeys.entries()) {
    const isKey = typeof key === 'string' || key instanceof Uint8Array
    if (!isKey)
      throw new TypeError(`${caller}: secretKeys[${index}] is ${kindOf(key)}; it must be a text or bytes`)
    if (key.length === 0)
      throw new TypeError(
        `${caller}: secretKeys[${index}] is empty; set it to the SECRET_KEY of the Django project`,
      )
  }
}

/** @throws {TypeError} */
export function checkDjangoVersion(caller: string, version: unknown): void {
  if (typeof version === 'string' && version !== '') return
  throw new TypeError(
    `${caller}: djangoVersion is ${version === '' ? 'empty' : kindOf(version)}; it must be the text that ` +
      "`python -m django --version` prints on the Django site, such as '4.2'",
  )
}

/** Checks that a part has these methods; `from` says where such a part comes from. @throws {TypeError} */
export function checkMethods(
  caller: string,
  part: { name: string; value: unknown; from: string },
  methods: readonly string[],
): void {
  const { name, value, from } = part
  const has = (method: string) => typeof Reflect.get(Object(value), method) === 'function'
  const missing = methods.find((method) => !has(method))
  if (missing === undefined) return
  const what =
    typeof value === 'object' && value !== null ? `has no method ${missing}()` : `is ${kindOf(value)}`
  throw new TypeError(`${caller}: ${name} ${what}; it must be ${from}`)
}

/** @throws {TypeError} */
export function checkSite(caller: string, site: unknown): void {
  checkMethods(caller, { name: 'site', value: site, from: 'what openDjangoSite returns' }, ['openRequest'])
}

/** @throws {TypeError} */
export function checkProfile(caller: string, profile: unknown): void {
  if (typeof profile === 'object' && profile !== null && 'csrf' in profile) return
  throw new TypeError(
    `${caller}: profile is ${kindOf(profile)}; it must be what versionProfile('4.2') returns`,
  )
}

/** A value as an error may show it: never the value itself, which may be a secret. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value instanceof Promise) return 'a promise; await it'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
