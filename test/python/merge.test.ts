import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import fc from 'fast-check'
import { build, canonicalize, INTEGER, parseObject, parseScalar } from '../../src/django/json.ts'
import { PythonFloat } from '../../src/django/pickle/python-values.ts'
import { pickledValues } from '../../src/django/session-values.ts'
import { createSessions } from '../../src/session/handle.ts'
import { MergeConflict } from '../../src/session/merge.ts'
import type { MergePolicies } from '../../src/session/merge-policies.ts'
import { createMemoryEngine } from '../../src/testing/memory-engine.ts'
import { findPythons, pythonOf, readyDjangoVersions } from '../support/django-environments.ts'
import { dyingWithUs } from '../support/executables.ts'

/** Two changes of one session, as JSON texts. */
interface Case {
  readonly policies: Readonly<Record<string, string>>
  readonly loaded: string
  readonly mine: string
  readonly theirs: string
}

interface Vector extends Case {
  readonly name: string
  /** Null: the policy `fail` does not let it merge. */
  readonly merged: string | null
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../vectors/merge.json', import.meta.url), 'utf8'),
)

const rules = {
  useTz: true,
  timeZone: 'UTC',
  cookieAge: 3600,
  expireAtBrowserClose: false,
  storesIsoExpiry: false,
}
const KEY = 'abcdefgh0123456789abcdefgh012345'

/** What the row holds after a request that made `mine` of `loaded`, while another one wrote `theirs`. */
async function mergedByUs({ policies, loaded, mine, theirs }: Case): Promise<string | null> {
  const merge: MergePolicies = Object.fromEntries(
    Object.entries(policies).map(([key, policy]) => [
      key,
      policy === 'tests.three' ? three : (policy as 'last'),
    ]),
  )
  const engine = createMemoryEngine()
  const expireDate = new Date(Date.now() + 3_600_000)
  const before = await engine.create(KEY, { data: parseObject(loaded), expireDate })
  // The values of pickles, because JavaScript itself has no floats such as 1.0.
  const options = { engine, rules, values: pickledValues, conflictTimeout: 60_000 }
  const session = await createSessions({ ...options, merge })
    .open(KEY)
    .load()
  const wanted = parseObject(mine)
  for (const key of session.keys()) if (!wanted.has(key)) session.delete(key)
  for (const [key, text] of wanted) if (!isSame(text, before.data.get(key))) session.set(key, asValue(text))
  await engine.update(KEY, { data: parseObject(theirs), expireDate }, before.revision)
  try {
    await session.save()
  } catch (error) {
    if (!(error instanceof MergeConflict)) throw error
    const stored = await engine.load(KEY)
    if (textOf(stored?.data) !== textOf(parseObject(theirs))) throw new Error('something was written')
    return null
  }
  return textOf((await engine.load(KEY))?.data)
}

const three = (...values: unknown[]) => values.map((value) => value ?? null)

function textOf(data: ReadonlyMap<string, string> = new Map()): string {
  return canonicalize(`{${Array.from(data, ([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`)
}

const KEYS = ['a', 'b', '_c', '_auth_user_id']

function objectText(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const member = fc.tuple(fc.constantFrom(...KEYS), value)
  return fc
    .uniqueArray(member, { selector: ([key]) => key, maxLength: 4 })
    .map((members) => `{${members.map(([key, text]) => `"${key}":${text}`).join(',')}}`)
}

/** Whether the order of members is all that differs: what Python would not see as a change is not set here. */
function isSame(a: string, b: string | undefined): boolean {
  return b !== undefined && ordered(a) === ordered(b)
}

function ordered(text: string): string {
  return build<string>(text, {
    scalar: canonicalize,
    array: (items) => `[${items.join(',')}]`,
    object: (members) => JSON.stringify([...members].sort(([a], [b]) => (a < b ? -1 : 1))),
  })
}

function asValue(text: string): unknown {
  return build<unknown>(text, {
    scalar(scalar) {
      const value = parseScalar(scalar)
      return typeof value === 'number' && !INTEGER.test(scalar) ? new PythonFloat(value) : value
    },
    array: (items) => items,
    object: (members) => Object.fromEntries(members),
  })
}

/** Every Python of this machine that the engine supports, with Django where it has one. */
async function pythons(): Promise<[name: string, file: string][]> {
  const plain = [...(await findPythons())].filter(([version]) => Number(version.split('.')[1]) >= 8)
  return [
    ...plain.map(([version, file]): [string, string] => [`Python ${version}`, file]),
    ...readyDjangoVersions().map((version): [string, string] => [`Django ${version}`, pythonOf(version)]),
  ]
}

async function mergedBy(python: string, cases: readonly Case[]): Promise<(string | null)[]> {
  const script = fileURLToPath(new URL('merge_cases.py', import.meta.url))
  const env = { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1' }
  const shell = spawn(...dyingWithUs(python, [script]), { env, stdio: ['pipe', 'pipe', 'inherit'] })
  shell.stdout.setEncoding('utf8')
  let output = ''
  shell.stdout.on('data', (text: string) => {
    output += text
  })
  shell.stdin.end(JSON.stringify(cases))
  const [code] = await once(shell, 'close')
  if (code !== 0) throw new Error(`merge_cases.py failed with ${code}`)
  return JSON.parse(output)
}

for (const vector of vectors) {
  test(`a session merges: ${vector.name}`, async (t) => {
    t.is(await mergedByUs(vector), vector.merged === null ? null : canonicalize(vector.merged))
  })
}

test('every Python merges the same vectors in the same way', async (t) => {
  const found = await pythons()
  t.true(found.length > 0)
  for (const [name, python] of found) {
    const results = await mergedBy(python, vectors)
    for (const [at, { name: title, merged }] of vectors.entries())
      t.is(results[at], merged === null ? null : canonicalize(merged), `${name}: ${title}`)
  }
})

const numbers = [
  '0',
  '1',
  '2',
  '-1',
  '1.0',
  '0.5',
  '-0.0',
  '1e300',
  'NaN',
  '-Infinity',
  '9007199254740993',
  `1${'0'.repeat(309)}`,
]
const scalar = fc.constantFrom(...numbers, 'null', 'true', 'false', '""', '"1"', '"\\u00e9"')
const { value: valueText } = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 3, withCrossShrink: true }, scalar, tie('list'), tie('object')),
  list: fc.array(tie('value'), { maxLength: 5 }).map((items) => `[${items.join(',')}]`),
  object: objectText(tie('value')),
}))
// Functions are in the vectors: in JavaScript, their arguments do not tell 1 from 1.0.
const policy = fc.constantFrom('last', 'add', 'union', 'fail')
const cases: fc.Arbitrary<Case> = fc
  .record({
    policies: fc.dictionary(fc.constantFrom('a', 'b', '_c', '_auth_user_id', '*'), policy),
    states: fc.array(objectText(fc.oneof(scalar, valueText)), { minLength: 3, maxLength: 3 }),
    // Two states often share a key's value: then only one side changed it.
    kept: fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }),
  })
  .map(({ policies, states, kept }) => {
    const [loaded = new Map(), ...others] = states.map((text) => new Map(parseObject(text)))
    for (const [at, key] of KEYS.entries()) {
      const text = loaded.get(key)
      const side = others[kept[at] ?? 0]
      if (text !== undefined) side?.set(key, text)
    }
    const [mine, theirs] = others
    return { policies, loaded: textOf(loaded), mine: textOf(mine), theirs: textOf(theirs) }
  })

test('both sides merge any two changes alike', async (t) => {
  const drawn = fc.sample(cases, { numRuns: 1000, seed: 18 })
  const ours: (string | null)[] = []
  for (let at = 0; at < drawn.length; at += 100)
    ours.push(...(await Promise.all(drawn.slice(at, at + 100).map(mergedByUs))))
  t.true(ours.some((merged) => merged === null) && new Set(ours).size > 500)
  for (const [name, python] of await pythons()) {
    const theirs = await mergedBy(python, drawn)
    const at = theirs.findIndex((merged, at) => merged !== ours[at])
    t.deepEqual([drawn[at], theirs[at]], [drawn[at], ours[at]], name)
    t.is(theirs.length, ours.length)
  }
})
