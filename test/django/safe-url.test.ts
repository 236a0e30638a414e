import { readFileSync } from 'node:fs'
import test from 'ava'
import { strip } from '../../src/django/cookie.ts'
import { iriToUri, urlHasAllowedHostAndScheme } from '../../src/django/safe-url.ts'

/** Recorded from real Django by safe-urls.py. */
const vectors: {
  djangos: readonly string[]
  hosts: readonly string[]
  safe: readonly (readonly [url: string, results: string])[]
  uris: readonly (readonly [iri: string, uri: string])[]
} = JSON.parse(readFileSync(new URL('../vectors/safe-urls.json', import.meta.url), 'utf8'))

const isSafe = (url: string, requireHttps: boolean): boolean =>
  urlHasAllowedHostAndScheme(url, { allowedHosts: vectors.hosts, requireHttps })

/**
 * URLs that Django before 5.0 rejects, because its Python parses them differently: a scheme could begin with a digit or a
 * sign, and tabs and line breaks were part of a host. Browsers read the first as a path; the second is escaped in a header,
 * and so is not a host.
 */
const PARSED_DIFFERENTLY = /^[\0-\x20]*[\d+.-][\w+.\s-]*:|[\t\r\n]/

for (const [index, version] of vectors.djangos.entries()) {
  const isOld = Number.parseFloat(version) < 5

  test(`a URL from a visitor is safe ${isOld ? 'only if' : 'exactly if'} Django ${version} says so`, (t) => {
    let stricter = 0
    for (const [url, results] of vectors.safe) {
      const [http, https] = results.split(' ')[index] ?? ''
      for (const [expected, requireHttps] of [
        [http, false],
        [https, true],
      ] as const) {
        const isOurs = isSafe(url, requireHttps)
        if (isOurs === (expected === '1')) continue
        if (isOld && PARSED_DIFFERENTLY.test(strip(url))) continue
        if (isOld && !isOurs) stricter += 1
        else
          t.fail(`${JSON.stringify(url)} ${requireHttps ? 'over HTTPS' : ''}: ${isOurs}, Django ${expected}`)
      }
    }
    t.true(stricter < 60, `${stricter} of ${2 * vectors.safe.length} differ`)
  })
}

test('a URL is escaped for a header as by Django', (t) => {
  for (const [iri, uri] of vectors.uris) t.is(iriToUri(iri), uri, JSON.stringify(iri))
})

test('an empty URL and one of a million characters are unsafe, in linear time', (t) => {
  t.false(isSafe('', false))
  t.false(urlHasAllowedHostAndScheme(undefined, { allowedHosts: [], requireHttps: false }))
  for (const part of ['/', '\\', 'a', '[', ':', '@', '\t', '\u2100', ' '])
    t.false(isSafe(`//testserver${part.repeat(1e6)}x`, false))
})
