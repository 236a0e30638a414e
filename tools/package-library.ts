/**
 * Writes the library's JavaScript into few files: when it was one file for each module, an import took five times the CPU.
 * Almost all of it is one file, which the entry points export from; `/signing` loads its own part alone.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'

/** Modules of Node that the library loads when it first calls one of their functions. No class of theirs can be imported. */
const LOADED_AT_A_CALL = [
  'node:crypto',
  'node:fs',
  'node:fs/promises',
  'node:module',
  'node:net',
  'node:os',
  'node:timers/promises',
  'node:util',
  'node:zlib',
]

/** The file that the other entry points export from, in dist/. */
const LIBRARY = 'library'

/** An entry point: a built file in `from`, and the names that it exports. */
interface EntryPoint {
  readonly file: string
  readonly names: readonly string[]
}

/**
 * Bundles built entry points.
 * @param alone an entry point in a file of its own.
 * @param from the folder of the build.
 * @param to the folder to write to; a file there has the path that it has in `from`.
 */
export async function bundleLibrary(
  files: readonly string[],
  { alone, from, to }: { alone: string; from: string; to: string },
): Promise<void> {
  const together: EntryPoint[] = []
  for (const file of files) {
    if (file !== alone) together.push({ file, names: Object.keys(await import(file)) })
  }
  await build({
    entryPoints: [
      { in: LIBRARY, out: LIBRARY },
      { in: alone, out: relative(from, alone).replace(/\.js$/, '') },
    ],
    outdir: to,
    chunkNames: '[name]-[hash]',
    plugins: [unite(together), loadAtACall],
    bundle: true,
    splitting: true, // a class is one class, whichever entry point it is imported from
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'esnext',
    charset: 'utf8',
    legalComments: 'none',
    // Comments are in the declarations, where editors show them. Names stay, and lines are short, for stack traces.
    minifyWhitespace: true,
    lineLimit: 100,
    logLevel: 'warning',
  })
  together.forEach(({ file, names }, at) => {
    const path = join(to, relative(from, file))
    const exported = names.map((name) => `${name}_${at} as ${name}`)
    const library = relative(dirname(path), join(to, `${LIBRARY}.js`))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(
      path,
      `export {\n  ${exported.join(',\n  ')},\n} from '${library.startsWith('.') ? library : `./${library}`}'\n`,
    )
  })
}

/** A module with all that these export. Names are numbered: two entry points may give one name to different functions. */
function unite(entryPoints: readonly EntryPoint[]): Plugin {
  const lines = entryPoints.map(({ file, names }, at) => {
    const numbered = names.map((name) => `${name} as ${name}_${at}`)
    return `export { ${numbered.join(', ')} } from ${JSON.stringify(file)}`
  })
  return {
    name: 'unite',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: new RegExp(`^${LIBRARY}$`) }, () => ({ path: LIBRARY, namespace: 'unite' }))
      onLoad({ filter: /./, namespace: 'unite' }, () => ({
        contents: lines.join('\n'),
        resolveDir: import.meta.dirname,
      }))
    },
  }
}

/** Replaces these modules of Node by functions that call theirs. */
const loadAtACall: Plugin = {
  name: 'load at a call',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) =>
      LOADED_AT_A_CALL.includes(path) ? { path, namespace: 'node', sideEffects: false } : null,
    )
    onLoad({ filter: /./, namespace: 'node' }, async ({ path }) => {
      const { default: whole, ...exported } = await import(path)
      const lines = Object.entries(exported).map(([name, value]) =>
        typeof value === 'function'
          ? `export const ${name} = (...args) => load().${name}(...args)`
          : `export const ${name} = /* @__PURE__ */ new Proxy({}, { get: (_, key) => load().${name}[key] })`,
      )
      const load = `let loaded\nconst load = () => (loaded ??= process.getBuiltinModule('${path}'))`
      const all = 'export default /* @__PURE__ */ new Proxy({}, { get: (_, key) => load()[key] })'
      return { contents: [load, all, ...lines].join('\n') }
    })
  },
}
