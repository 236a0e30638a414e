/** Forms in requests of any server. */
import type { IncomingMessage } from 'node:http'
import { type Field, formTypeOf, parseMultipart, parseUrlencoded, UnreadablePost } from '../django/forms.ts'
import { withStatus } from './statuses.ts'

/** The fields of a form. For a name that was sent several times, `get` returns the last value, as Django does. */
export interface Form {
  get(name: string): string | undefined
  getAll(name: string): readonly string[]
}

/** The body is larger than allowed; status 400. Source: django/core/exceptions.py, RequestDataTooBig. */
export class RequestDataTooBig extends Error {
  override name = 'RequestDataTooBig'
  readonly code: string = 'ERR_REQUEST_DATA_TOO_BIG'
}

/** Django's limits, with Django's defaults. */
export interface FormLimits {
  /** Bytes of the whole body: DATA_UPLOAD_MAX_MEMORY_SIZE. */
  readonly maxBytes?: number
  /** DATA_UPLOAD_MAX_NUMBER_FIELDS. */
  readonly maxFields?: number
  /** DATA_UPLOAD_MAX_NUMBER_FILES. */
  readonly maxFiles?: number
}

/** DATA_UPLOAD_MAX_NUMBER_FIELDS. Source, as for the defaults below: django/conf/global_settings.py. */
const MAX_FIELDS = 1000

/** A request that may hold a form. */
export interface FormRequest {
  /** The Content-Type header; '' for none. */
  readonly contentType: string
  /** Reads the whole body. @throws {RequestDataTooBig} for more bytes. @throws {UnreadablePost} */
  readBody(maxBytes: number): Promise<Buffer>
}

/**
 * The form in a request's body, urlencoded or multipart; empty for any other type of body, which is left unread.
 * Unlike Django, files are held in memory, and so count towards the limit; they are then dropped.
 * @throws {RequestDataTooBig} {TooManyFieldsSent} {TooManyFilesSent} {UnreadablePost}
 */
export async function parseForm(
  request: FormRequest,
  { maxBytes = 2_621_440, maxFields = MAX_FIELDS, maxFiles = 100 }: FormLimits = {},
): Promise<Form> {
  try {
    const form = formTypeOf(request.contentType)
    if (form === null) return formOf([])
    const body = await request.readBody(maxBytes)
    const counts = { maxFields, maxFiles }
    return formOf(
      form.type === 'multipart' ? parseMultipart(body, form.boundary, counts) : parseUrlencoded(body, counts),
    )
  } catch (error) {
    throw withStatus(error)
  }
}

const forms = new WeakMap<IncomingMessage | Request, Promise<Form>>()

/** The form in a request of Node's. Read once: each later call returns the same form. @throws as `parseForm`. */
export function readNodeForm(request: IncomingMessage, limits: FormLimits = {}): Promise<Form> {
  const known = forms.get(request)
  if (known !== undefined) return known
  const contentType = request.headers['content-type'] ?? ''
  const reading = parseForm({ contentType, readBody: (maxBytes) => readNodeBody(request, maxBytes) }, limits)
  forms.set(request, reading)
  return reading
}

async function readNodeBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (request.readableDidRead) {
    throw new TypeError(
      'the form cannot be read, since the body was read already, perhaps by a body parser; take the form from there, ' +
        'and give createCsrfMiddleware a readField that does',
    )
  }
  // Not destroyed when it is too big: the client is still to get the answer, and Node then drops the rest.
  const body = request.iterator({ destroyOnReturn: false })
  return readChunks(body, limit, request.headers['content-length'])
}

/**
 * The form in a `Request` of the Web. Read once: each later call returns the same form. A copy of the body is read, so that
 * the request's own methods still work. @throws as `parseForm`.
 */
export function readWebForm(request: Request, limits: FormLimits = {}): Promise<Form> {
  const known = forms.get(request)
  if (known !== undefined) return known
  const contentType = request.headers.get('content-type') ?? ''
  const reading = parseForm({ contentType, readBody: (maxBytes) => readWebBody(request, maxBytes) }, limits)
  forms.set(request, reading)
  return reading
}

async function readWebBody(request: Request, maxBytes: number): Promise<Buffer> {
  if (request.bodyUsed)
    throw new TypeError(
      'the form cannot be read, since the body of the request was read already; call form() of site.handle first',
    )
  return readChunks(request.clone().body ?? [], maxBytes, request.headers.get('content-length'))
}

/** All bytes of a body. @throws {RequestDataTooBig} {UnreadablePost} */
async function readChunks(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
  contentLength: string | null | undefined,
): Promise<Buffer> {
  const tooBig = () => new RequestDataTooBig(`the request's body has more than ${maxBytes} bytes`)
  if (Number(contentLength ?? 0) > maxBytes) throw tooBig()
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of body) {
      size += chunk.byteLength
      if (size > maxBytes) throw tooBig()
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof RequestDataTooBig) throw error
    throw new UnreadablePost("the request's body could not be read", { cause: error })
  }
  return Buffer.concat(chunks)
}

/** The query of a URL, without its `?`, as Django's `request.GET` has it. @throws {TooManyFieldsSent} */
export function parseQuery(query: string, { maxFields = MAX_FIELDS }: FormLimits = {}): Form {
  try {
    return formOf(parseUrlencoded(Buffer.from(query, 'latin1'), { maxFields }))
  } catch (error) {
    throw withStatus(error)
  }
}

/** A form that a body parser has read: values are texts, or lists of texts. Other values, such as files, are left out. */
export function formOfParsed(body: object): Form {
  return formOf(
    Object.entries(body).flatMap(([name, value]) =>
      [value].flat().flatMap((one): Field[] => (typeof one === 'string' ? [[name, one]] : [])),
    ),
  )
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
