/**
 * The folder of this package, where `templates` and package.json are. This file stands as deep below it in src/ and in
 * dist/ as the bundle does, dist/bundle/main.js, so that one path is right in all three.
 */
export const packageFolder: URL = new URL('../../', import.meta.url)
