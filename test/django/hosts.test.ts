import { readFileSync } from 'node:fs'
import test from 'ava'
import { isAllowedHost, LOCAL_HOSTS, splitDomainPort } from '../../src/django/hosts.ts'

interface Case<Input, Result> {
  readonly input: Input
  /** One entry for each Django version, oldest first. */
  readonly results: readonly Result[]
}

/** Recorded from real Django by hosts.py. */
const vectors: {
  djangos: readonly string[]
  splits: readonly Case<string, [string, string]>[]
  hosts: readonly Case<[host: string, allowedHosts: string[]], boolean>[]
  local: readonly Case<string, boolean>[]
} = JSON.parse(readFileSync(new URL('../vectors/hosts.json', import.meta.url), 'utf8'))

for (const [index, version] of vectors.djangos.entries()) {
  test(`a Host header is split as by Django ${version}`, (t) => {
    for (const { input, results } of vectors.splits) {
      // A digit of another script, which Django before 4.2 accepts in a port. No header can contain one, because WSGI makes
      // each byte a character.
      if (input.includes('８')) continue
      t.deepEqual([...splitDomainPort(input)], results[index], JSON.stringify(input))
    }
  })

  test(`ALLOWED_HOSTS allows the same hosts as in Django ${version}`, (t) => {
    for (const { input, results } of vectors.hosts)
      t.deepEqual(isAllowedHost(...input), results[index], JSON.stringify(input))
  })

  test(`without ALLOWED_HOSTS the same local hosts are allowed as by Django ${version} with DEBUG`, (t) => {
    for (const { input, results } of vectors.local) {
      // Subdomains of localhost since 3.2.
      if (version.startsWith('2.2') && splitDomainPort(input)[0].endsWith('.localhost')) continue
      t.deepEqual(isAllowedHost(input, LOCAL_HOSTS), results[index], JSON.stringify(input))
    }
  })
}

test('a host of a million characters is rejected in linear time', (t) => {
  for (const host of [`${'.'.repeat(1e6)}_`, `[${':'.repeat(1e6)}`, `a:${'1'.repeat(1e6)}a`])
    t.false(isAllowedHost(host, ['*']))
})
