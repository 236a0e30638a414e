/**
 * Imported by the process of AVA. Its TAP reporter dumps an error as YAML, and crashes with the whole run where a part of the
 * error is undefined, as the place of an error without a stack. Such a part is left out.
 * Source: supertap, serializeErrorForTap.
 */
import { createRequire } from 'node:module'

const ava = createRequire(import.meta.resolve('ava'))
const supertap = createRequire(ava.resolve('supertap'))
const yaml = supertap('js-yaml') as { safeDump(value: unknown, options?: object): string }
const { safeDump } = yaml
yaml.safeDump = (value, options) => safeDump(value, { skipInvalid: true, ...options })
