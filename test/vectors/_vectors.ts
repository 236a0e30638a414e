/** What real Django wrote and read: the files beside this one, as generate.py made them. */
import { readFileSync } from 'node:fs'
import { type VersionProfile, versionProfile } from '../../src/django/versions.ts'

/** A key that secretKey cannot hold (bytes) is in secretKeyHex. */
interface Keyed {
  secretKey: string | null
  secretKeyHex: string
}

/** What a call gave: its JSON text, or the Python exception. */
export interface Outcome {
  returns?: string
  raises?: string
}

export interface SessionVector extends Keyed {
  name: string
  salt: string
  format: 'legacy' | 'signed'
  timestamp: number | null
  compressed: boolean
  json: string
  session_data: string
  decodesToJson: string
}

export interface SigningVector extends Keyed {
  fn: 'signing.dumps' | 'TimestampSigner.sign' | 'Signer.sign'
  name?: string
  obj?: string
  input?: string
  salt: string | null
  effectiveSalt?: string
  compress?: boolean
  timestamp?: number
  value: string
}

export interface DjangoVectors {
  meta: { frozenTime: number }
  sessions: SessionVector[]
  sessionsPickle: (Keyed & { name: string; session_data: string })[]
  unserializable: (Outcome & { name: string; message: string })[]
  signing: SigningVector[]
  maxAge: (Outcome & { max_age: number; elapsed: number })[]
  b62: { encode: [string, string][]; decode: (Outcome & { input: string })[] }
  signedCookiesEngine: (Keyed & { name: string; salt: string; timestamp: number; json: string; cookieValue: string })[]
  keyAlphabet: string
}

export interface MalformedVectors {
  secretKey: string
  oldKey: string
  cases: {
    name: string
    session_data: string
    results: Record<string, Outcome>
    resultsWithFallbacks?: Record<string, Outcome>
  }[]
}

export interface CrossVersionVectors {
  /** Reader, writer, vector: 'same' when the reader got what the writer wrote. */
  sessions: Record<string, Record<string, Record<string, 'same' | Outcome>>>
  rotation: Record<string, { data: string; oldKey: string; newKey: string; decode: Outcome; reencodedWithNewKey: string }>
}

export const labels = ['2.2', '3.2-sha1', '3.2', '4.2', '5.2', '6.1'].map((version) => `django-${version}`)

export function readVectors(label: string): DjangoVectors {
  return read(label)
}

export const malformed: MalformedVectors = read('malformed')
export const crossVersion: CrossVersionVectors = read('cross-version')

export function profileOf(label: string): VersionProfile {
  const [, version = '', algorithm] = label.split('-')
  return algorithm === 'sha1' ? versionProfile(version, { defaultHashingAlgorithm: 'sha1' }) : versionProfile(version)
}

export function secretKeyOf({ secretKey, secretKeyHex }: Keyed): string | Uint8Array {
  return secretKey ?? Buffer.from(secretKeyHex, 'hex')
}

export function clock(seconds: number): () => Date {
  return () => new Date(seconds * 1000)
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as T
}

export interface PickleVectors {
  cases: { name: string; json: string | null; repr: string | null; pickles: { pickle: string; by: string[] }[] }[]
}

/** What real Pythons pickled, as pickles.py had them do. */
export const pickleVectors: PickleVectors = read('pickles')
export const allPickles: readonly Buffer[] = pickleVectors.cases.flatMap(({ pickles }) =>
  pickles.map(({ pickle }) => Buffer.from(pickle, 'base64')),
)
