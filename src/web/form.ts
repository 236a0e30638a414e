import type { Context } from 'koa'
import { getRawBody } from 'raw-body'

/** The fields of a form that was sent; of a name that came several times, `get` gives the last, as Django does. */
export interface Form {
  get(name: string): string | undefined
  getAll(name: string): readonly string[]
}

/** The body is larger than allowed; status 400. Source: django/core/exceptions.py, RequestDataTooBig. */
export class RequestDataTooBig extends Error {
  override name = 'RequestDataTooBig'
  readonly code: string = 'ERR_REQUEST_DATA_TOO_BIG'
}

/** The form has more fields than allowed; status 400. Source: django/core/exceptions.py, TooManyFieldsSent. */
export class TooManyFieldsSent extends Error {
  override name = 'TooManyFieldsSent'
  readonly code: string = 'ERR_TOO_MANY_FIELDS'
}

/** The body ended early, or is not what its Content-Type says; status 400. Source: django/http/request.py, UnreadablePostError. */
export class UnreadablePost extends Error {
  override name = 'UnreadablePost'
  readonly code: string = 'ERR_UNREADABLE_POST'
}

export interface FormLimits {
  /** Bytes of the whole body: DATA_UPLOAD_MAX_MEMORY_SIZE. */
  readonly maxBytes?: number
  /** DATA_UPLOAD_MAX_NUMBER_FIELDS. */
  readonly maxFields?: number
}

const forms = new WeakMap<object, Promise<Form>>()

/**
 * The form in this request's body, urlencoded or multipart; empty where the body is something else, which is left
 * unread. Read once: each later call gives the same form. Only for routes of ours: the body is consumed.
 * Unlike Django, files are held in memory, and so count towards the limit.
 * @throws {RequestDataTooBig} {TooManyFieldsSent} {UnreadablePost}
 */
export function readForm(ctx: Context, limits: FormLimits = {}): Promise<Form> {
  const known = forms.get(ctx.req)
  if (known !== undefined) return known
  const reading = read(ctx, limits)
  forms.set(ctx.req, reading)
  return reading
}

async function read(ctx: Context, { maxBytes = 2_621_440, maxFields = 1000 }: FormLimits): Promise<Form> {
  if (!ctx.is('application/x-www-form-urlencoded', 'multipart/form-data')) return formOf([], maxFields)
  const body = await readBody(ctx, maxBytes)
  if (ctx.is('application/x-www-form-urlencoded')) {
    return formOf(new URLSearchParams(body.toString('utf8')), maxFields)
  }
  return formOf(await parseMultipart(body, ctx.get('Content-Type')), maxFields)
}

async function readBody(ctx: Context, limit: number): Promise<Buffer> {
  try {
    return await getRawBody(ctx.req, { limit, length: ctx.get('Content-Length') || null })
  } catch (error) {
    if (error instanceof Error && 'type' in error && error.type === 'entity.too.large') {
      throw new RequestDataTooBig(`the request's body has more than ${limit} bytes`)
    }
    throw new UnreadablePost("the request's body could not be read", { cause: error })
  }
}

async function parseMultipart(body: Buffer, contentType: string): Promise<Iterable<[string, unknown]>> {
  try {
    return await new Response(new Uint8Array(body), { headers: { 'Content-Type': contentType } }).formData()
  } catch (error) {
    throw new UnreadablePost("the request's body is no multipart form", { cause: error })
  }
}

function formOf(entries: Iterable<[string, unknown]>, maxFields: number): Form {
  const fields = new Map<string, string[]>()
  let count = 0
  for (const [name, value] of entries) {
    count += 1
    if (count > maxFields) throw new TooManyFieldsSent(`the form has more than ${maxFields} fields`)
    if (typeof value !== 'string') continue // a file
    const values = fields.get(name)
    if (values === undefined) fields.set(name, [value])
    else values.push(value)
  }
  return {
    get: (name) => fields.get(name)?.at(-1),
    getAll: (name) => fields.get(name) ?? [],
  }
}
