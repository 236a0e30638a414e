import type { Context, ParameterizedContext } from 'koa'
import { type Form, type FormLimits, parseQuery, readNodeForm } from '../../http/form.ts'

/**
 * The form in this request's body, urlencoded or multipart; empty for any other type of body, which is left unread.
 * Read once: each later call returns the same form. Only for your own routes: the body is consumed.
 * Unlike Django, files are held in memory, and so count towards the limit; they are then dropped.
 * @throws {RequestDataTooBig} {TooManyFieldsSent} {TooManyFilesSent} {UnreadablePost}
 */
export function readForm(ctx: Context, limits: FormLimits = {}): Promise<Form> {
  return readNodeForm(ctx.req, limits)
}

/**
 * The query of the request's URL, as Django's `request.GET` has it. Koa's `ctx.query` takes quadratic time.
 * @throws {TooManyFieldsSent}
 */
export function readQuery(ctx: ParameterizedContext, limits: FormLimits = {}): Form {
  return parseQuery(ctx.querystring, limits)
}
