import type { ParameterizedContext } from 'koa'
import type { ResponseHeaders } from '../../http/response-headers.ts'

/** Adds these headers to the response. */
export function addHeaders(ctx: ParameterizedContext, { setCookie, vary }: ResponseHeaders): void {
  if (setCookie !== null) ctx.append('Set-Cookie', setCookie)
  if (vary !== null) ctx.set('Vary', vary(String(ctx.res.getHeader('Vary') ?? '')))
}
