/**
 * CPU of decoding and encoding `session_data` as JSON and as a pickle, with its compression and signature.
 *
 *   node bench/pickles.ts
 */
import { stringifyValue } from '../src/django/json.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import type { SerializerName } from '../src/django/session-serializers.ts'
import { versionProfile } from '../src/django/versions.ts'
import { createPayload } from './payload.ts'
import { medianOf } from './statistics.ts'

/** The last Django with a PickleSerializer. */
const DJANGO = '4.2'
const ROUNDS = 9

/** Bytes of JSON in the session, besides what a login stores, and how often each round decodes and encodes it. */
const SESSIONS = [
  { title: 'a login', bytes: 0, times: 3000 },
  { title: '1 kB', bytes: 1000, times: 1500 },
  { title: '100 kB', bytes: 100_000, times: 20 },
]

const codecOf = (serializer: SerializerName) =>
  createSessionCodec({
    secretKeys: ['of a benchmark'],
    profile: versionProfile(DJANGO),
    serializer,
    now: () => new Date(),
  })
const [json, pickle] = [codecOf('json'), codecOf('pickle')]

console.log('| session | decode: JSON µs | pickle µs | ratio | encode: JSON µs | pickle µs | ratio |')
console.log('|---|---|---|---|---|---|---|')
for (const { title, bytes, times } of SESSIONS) {
  const data = new Map([
    ['num_visits', '1'],
    ['_auth_user_id', '"17"'],
    ['_auth_user_backend', '"django.contrib.auth.backends.ModelBackend"'],
    ['_auth_user_hash', `"${'a1'.repeat(32)}"`],
  ])
  if (bytes > 0) data.set('payload', stringifyValue(createPayload(bytes)))
  const [asJson, asPickle] = [json.encode(data), pickle.encode(data)]
  const decode = measure([() => json.decode(asJson), () => pickle.decode(asPickle)], times)
  const encode = measure([() => json.encode(data), () => pickle.encode(data)], times)
  console.log(`| ${title} | ${[...decode, ...encode].join(' | ')} |`)
}

/** Microseconds of CPU of both works, in turn, and the median of the rounds' ratios. */
function measure(works: readonly [() => unknown, () => unknown], times: number): string[] {
  const cost = (work: () => unknown): number => {
    const before = process.cpuUsage()
    for (let at = 0; at < times; at += 1) work()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / times
  }
  for (const work of works) cost(work) // for the JIT compilers
  const rounds = Array.from({ length: ROUNDS }, () => works.map(cost))
  const median = (of: (round: readonly number[]) => number): number => medianOf(rounds.map(of)) ?? Number.NaN
  return [
    median(([first = 0]) => first).toFixed(0),
    median(([, second = 0]) => second).toFixed(0),
    median(([first = 0, second = 0]) => second / first).toFixed(2),
  ]
}
