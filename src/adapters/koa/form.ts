import type { Context, ParameterizedContext } from 'koa'
import { getRawBody } from 'raw-body'
import {
  type Field,
  formTypeOf,
  parseMultipart,
  parseUrlencoded,
  UnreadablePost,
} from '../../django/forms.ts'
import { withStatus } from '../../http/statuses.ts'

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

export interface FormLimits {
  /** Bytes of the whole body: DATA_UPLOAD_MAX_MEMORY_SIZE. */
  readonly maxBytes?: number
  /** DATA_UPLOAD_MAX_NUMBER_FIELDS. */
  readonly maxFields?: number
  /** DATA_UPLOAD_MAX_NUMBER_FILES. */
  readonly maxFiles?: number
}

/** Django's DATA_UPLOAD_MAX_NUMBER_FIELDS. */
const MAX_FIELDS = 1000

const forms = new WeakMap<object, Promise<Form>>()

/**
 * The form in this request's body, urlencoded or multipart; empty where the body is something else, which is left
 * unread. Read once: each later call gives the same form. Only for routes of ours: the body is consumed.
 * Unlike Django, files are held in memory, and so count towards the limit; they are then dropped.
 * @throws {RequestDataTooBig} {TooManyFieldsSent} {TooManyFilesSent} {UnreadablePost}
 */
export function readForm(ctx: Context, limits: FormLimits = {}): Promise<Form> {
  const known = forms.get(ctx.req)
  if (known !== undefined) return known
  const reading = read(ctx, limits).catch((error: unknown) => {
    throw withStatus(error)
  })
  forms.set(ctx.req, reading)
  return reading
}

/**
 * The query of the request's URL, as Django's `request.GET` has it. Koa's `ctx.query` takes quadratic time.
 * @throws {TooManyFieldsSent}
 */
export function readQuery(ctx: ParameterizedContext, { maxFields = MAX_FIELDS }: FormLimits = {}): Form {
  try {
    return formOf(parseUrlencoded(Buffer.from(ctx.querystring, 'latin1'), { maxFields }))
  } catch (error) {
    throw withStatus(error)
  }
}

async function read(
  ctx: Context,
  { maxBytes = 2_621_440, maxFields = MAX_FIELDS, maxFiles = 100 }: FormLimits,
): Promise<Form> {
  const form = formTypeOf(ctx.get('Content-Type'))
  if (form === null) return formOf([])
  if (ctx.req.readableDidRead) {
    throw new TypeError(
      'readForm found the body read already, perhaps by koa-bodyparser; take the form from there, and give ' +
        'createCsrfMiddleware a readField that does',
    )
  }
  const body = await readBody(ctx, maxBytes)
  const counts = { maxFields, maxFiles }
  return formOf(
    form.type === 'multipart' ? parseMultipart(body, form.boundary, counts) : parseUrlencoded(body, counts),
  )
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

function formOf(sent: readonly Field[]): Form {
  const fields = new Map<string, string[]>()
  for (const [name, value] of sent) {
    const values = fields.get(name)
    if (values === undefined) fields.set(name, [value])
    else values.push(value)
  }
  return {
    get: (name) => fields.get(name)?.at(-1),
    getAll: (name) => fields.get(name) ?? [],
  }
}
