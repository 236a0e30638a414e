import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { execute } from '../support/executables.ts'
import { readyNodes } from '../support/nodes.ts'

/** Recorded from real Django by passwords.py. */
const { hashes } = JSON.parse(
  readFileSync(new URL('../vectors/passwords.json', import.meta.url), 'utf8'),
) as {
  hashes: { hasher: string; password: string; encoded: string }[]
}
const vectors = hashes.filter(({ hasher }) => hasher === 'Argon2PasswordHasher')

/** Verifies each vector with its password and with another one, and says whether Node has Argon2 itself. */
const PROGRAM = `
import crypto from 'node:crypto'
import { passwordHashers } from ${JSON.stringify(new URL('../../src/django/password-hashers.ts', import.meta.url).href)}
const { vectors, cost } = JSON.parse(process.argv[1])
const hasher = passwordHashers(cost).get('Argon2PasswordHasher')
const results = []
for (const { password, encoded } of vectors) {
  const stored = hasher.read(encoded)
  results.push([await stored.verify(password), await stored.verify(password + '.')])
}
await hasher.run('any')
console.log(JSON.stringify({ isInNode: crypto.argon2 !== undefined, results }))
`

const runtimes = [...readyNodes('supported'), { version: process.versions.node, file: process.execPath }]

for (const { version, file } of runtimes) {
  test(`on Node ${version} each Argon2 hash of Django matches its password and no other`, async (t) => {
    t.true(vectors.length > 0)
    const input = JSON.stringify({
      vectors,
      cost: { argon2: { memoryCost: 64, timeCost: 1, parallelism: 1 } },
    })
    const cwd = fileURLToPath(new URL('../..', import.meta.url))
    const args = ['--no-warnings', '--input-type=module', '--eval', PROGRAM, '--', input]
    const { isInNode, results } = JSON.parse((await execute(file, args, { cwd })).stdout)
    t.is(isInNode, !version.startsWith('22.'))
    t.deepEqual(
      results,
      vectors.map(() => [true, false]),
    )
  })
}
