import { readFileSync } from 'node:fs'

/**
 * The folder of this package, where `templates` and package.json are. This file stands as deep below it in src/ and in
 * dist/ as the bundle does, dist/bundle/main.js, so that one path is right in all three.
 */
export const packageFolder: URL = new URL('../../', import.meta.url)

/** The version of this package. */
export function packageVersion(): string {
  const { version, release } = JSON.parse(readFileSync(new URL('package.json', packageFolder), 'utf8'))
  return version ?? release // a checkout has no version; see tools/package.ts
}
