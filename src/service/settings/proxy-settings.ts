import { quoted } from '../../checks/quoted.ts'
import { BOOLEANS, type Environment, readList } from './environment.ts'

/** The headers of the proxy in front that are trusted: Django's USE_X_FORWARDED_HOST, SECURE_PROXY_SSL_HEADER, and X-Forwarded-For. */
export type TrustedProxySetting = readonly (typeof TRUSTED)[number][]

const TRUSTED = ['host', 'proto', 'for'] as const

/** TRUSTED_PROXY: a boolean for all or none, or some of `host`, `proto` and `for`. */
export function readTrustedProxy(environment: Environment, problems: string[]): TrustedProxySetting {
  const text = environment.text('TRUSTED_PROXY') ?? ''
  const words = readList(text).map((word) => word.toLowerCase())
  const trusted = TRUSTED.filter((name) => words.includes(name))
  const [word = 'false'] = words
  if (words.length > 0 && words.every((each) => TRUSTED.some((name) => name === each))) return trusted
  if (words.length < 2 && BOOLEANS.has(word)) return BOOLEANS.get(word) === true ? [...TRUSTED] : []
  problems.push(
    `TRUSTED_PROXY is ${quoted(text)}; set it to True, False, or to those of host, proto and for that the proxy in front sets, separated by commas`,
  )
  return []
}
