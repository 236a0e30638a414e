/** What nunjucks compiled a template to, and the digest of the template; see templateDigest. */
export interface CompiledTemplate {
  readonly digest: string
  readonly code: object
}

/**
 * By file name. Empty in the sources: a bundle has all templates here, because compiling them takes a tenth of the CPU time
 * of a start. See tools/compile-templates.ts.
 */
export const compiledTemplates: Readonly<Record<string, CompiledTemplate>> = {}
