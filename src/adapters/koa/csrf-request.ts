import type { Context } from 'koa'
import type { CsrfRequest } from '../../http/csrf.ts'

/** Reads a field of the form that was sent. */
export type ReadField = (ctx: Context, name: string) => Promise<string | undefined>

/**
 * A Koa request. Its host and scheme are read only when they are asked for, as Koa has them then. A class, because V8 gives
 * each object literal with getters a hidden class of its own: that cost a quarter of a page's CPU.
 */
export class KoaCsrfRequest implements CsrfRequest {
  readonly session: CsrfRequest['session']
  readonly #ctx: Context
  readonly #readField: ReadField

  constructor(ctx: Context, { session, readField }: Pick<CsrfRequest, 'session'> & { readField: ReadField }) {
    this.session = session
    this.#ctx = ctx
    this.#readField = readField
  }

  get method(): string {
    return this.#ctx.method
  }

  get isSecure(): boolean {
    return this.#ctx.secure
  }

  get host(): string {
    return this.#ctx.host
  }

  header(name: string): string | undefined {
    const value = this.#ctx.req.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  readField(name: string): Promise<string | undefined> {
    return this.#readField(this.#ctx, name)
  }
}
